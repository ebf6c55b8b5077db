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

function from(row: number, collapsed: number[] = []): TreeState {
  const hidden = new Set(collapsed);
  return { model, rows: model.visible(hidden), collapsed: hidden, row, pageRows: 2 };
}

test.each([
  ["ArrowDown", from(0), { kind: "go", row: 1 }],
  ["j", from(4), { kind: "go", row: 4 }],
  ["ArrowUp", from(0), { kind: "go", row: 0 }],
  ["k", from(2), { kind: "go", row: 1 }],
  ["PageDown", from(1), { kind: "go", row: 3 }],
  ["PageUp", from(1), { kind: "go", row: 0 }],
  ["Home", from(3), { kind: "go", row: 0 }],
  ["End", from(0), { kind: "go", row: 4 }],
  ["ArrowRight", from(1, [1]), { kind: "expand", index: 1 }],
  ["ArrowRight", from(1), { kind: "go", row: 2 }],
  ["ArrowRight", from(2), undefined],
  ["ArrowLeft", from(1), { kind: "collapse", index: 1 }],
  ["ArrowLeft", from(2), { kind: "go", row: 1 }],
  ["ArrowLeft", from(1, [1]), { kind: "go", row: 0 }],
  ["ArrowLeft", from(4), undefined],
  ["Enter", from(2), { kind: "open", index: 2 }],
  ["x", from(2), undefined],
] as const)("%s", (key, state, move) => expect(moveFor(key, state)).toEqual(move));
