import assert from "node:assert/strict";
import { test } from "node:test";

import { Holds } from "../src/guard/holds.mjs";

const RUN = { key: "allowance:1", cause: "allowance", scope: "run", scopeId: "r1", reason: "spent" };

test("the same hold said again lasts until the later of both ends", () => {
  const holds = new Holds();
  assert.ok(holds.open({ ...RUN, expiresAtUs: 1_000 }, undefined, 0));
  assert.equal(holds.open({ ...RUN, expiresAtUs: 5_000 }, undefined, 500), undefined);
  assert.equal(holds.open({ ...RUN, expiresAtUs: 2_000 }, undefined, 600), undefined);
  const family = { id: "r1", runIds: new Set(["r1"]), sessions: new Map(), answersTo: (id) => id === "r1" };
  assert.ok(holds.find(family, undefined, 4_999));
  assert.equal(holds.find(family, undefined, 5_000), undefined);
});

test("whoever opened it is told of its end by itself, once", () => {
  const lapsed = [];
  const holds = new Holds((hold) => lapsed.push(hold.key));
  holds.open({ ...RUN, expiresAtUs: 1_000 }, undefined, 0);
  holds.find(undefined, undefined, 2_000);
  holds.find(undefined, undefined, 3_000);
  assert.deepEqual(lapsed, ["allowance:1"]);
});
