import { expect, test } from "vitest";

import { TraceModel } from "./model";
import { moveFor, type TreeState } from "./tree_keys";

const parents = [-1, 0, 1, 0, -1];
const model = new TraceModel({
  spanIds: parents.map(String),
  parents,
  kinds: parents.map(() => "run"),
  names: parents.map(() => "run"),
  statuses: parents.map(() => "ok"),
  startsMs: parents.map((_, at) => at),
  durationsMs: parents.map(() => 1),
  costsUsd: parents.map(() => null),
  tokens: parents.map(() => null),
  flags: parents.map(() => []),
});

function at(row: number, collapsed: number[] = []): TreeState {
  const hidden = new Set(collapsed);
  return { model, rows: model.visible(hidden), collapsed: hidden, row, pageRows: 2 };
}

test.each([
  ["ArrowDown", at(0), { kind: "go", row: 1 }],
  ["j", at(4), { kind: "go", row: 4 }],
  ["ArrowUp", at(0), { kind: "go", row: 0 }],
  ["k", at(2), { kind: "go", row: 1 }],
  ["PageDown", at(1), { kind: "go", row: 3 }],
  ["PageUp", at(1), { kind: "go", row: 0 }],
  ["Home", at(3), { kind: "go", row: 0 }],
  ["End", at(0), { kind: "go", row: 4 }],
  ["ArrowRight", at(1, [1]), { kind: "expand", index: 1 }],
  ["ArrowRight", at(1), { kind: "go", row: 2 }],
  ["ArrowRight", at(2), undefined],
  ["ArrowLeft", at(1), { kind: "collapse", index: 1 }],
  ["ArrowLeft", at(2), { kind: "go", row: 1 }],
  ["ArrowLeft", at(1, [1]), { kind: "go", row: 0 }],
  ["ArrowLeft", at(4), undefined],
  ["Enter", at(2), { kind: "open", index: 2 }],
  ["x", at(2), undefined],
] as const)("%s", (key, state, move) => expect(moveFor(key, state)).toEqual(move));
