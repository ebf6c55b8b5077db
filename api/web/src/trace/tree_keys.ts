/**
 * Where the keys lead in a tree, as ARIA's tree grids have it.
 *
 * Upstream: a key, the rows that are visible, which are collapsed.
 * Downstream: `path_tree`.
 * Guarantee: pure; a key that means nothing here returns undefined, so the browser keeps it.
 */
import type { TraceModel } from "./model";

export interface TreeState {
  readonly model: TraceModel;
  /** Indexes of the spans that are visible, in order. */
  readonly rows: Int32Array;
  readonly collapsed: ReadonlySet<number>;
  /** Row the cursor is on. */
  readonly row: number;
  readonly pageRows: number;
}

export type TreeMove =
  | { readonly kind: "go"; readonly row: number }
  | { readonly kind: "collapse" | "expand" | "expand-siblings" | "open"; readonly index: number };

export function moveFor(key: string, state: TreeState): TreeMove | undefined {
  const { model, rows, collapsed, row, pageRows } = state;
  const index = rows[row];
  if (index === undefined) return rows.length > 0 && key.startsWith("Arrow") ? go(0) : undefined;
  const last = rows.length - 1;
  switch (key) {
    case "ArrowDown":
    case "j":
      return go(Math.min(last, row + 1));
    case "ArrowUp":
    case "k":
      return go(Math.max(0, row - 1));
    case "PageDown":
      return go(Math.min(last, row + pageRows));
    case "PageUp":
      return go(Math.max(0, row - pageRows));
    case "Home":
      return go(0);
    case "End":
      return go(last);
    case "ArrowRight":
      if (!model.hasChildren(index)) return undefined;
      return collapsed.has(index) ? { kind: "expand", index } : go(Math.min(last, row + 1));
    case "ArrowLeft":
      if (model.hasChildren(index) && !collapsed.has(index)) return { kind: "collapse", index };
      return goTo(model.parentOf(index), rows, row);
    case "*":
      return { kind: "expand-siblings", index };
    case "Enter":
    case " ":
      return { kind: "open", index };
    default:
      return undefined;
  }
}

function go(row: number): TreeMove {
  return { kind: "go", row };
}

function goTo(parent: number, rows: Int32Array, row: number): TreeMove | undefined {
  for (let at = row - 1; at >= 0; at -= 1) if (rows[at] === parent) return go(at);
  return undefined;
}
