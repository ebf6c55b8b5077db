/**
 * What something costs more or less than something else: as text, as a bar, and as a table of what that comes from.
 *
 * Upstream: differences in dollars, as the API says them.
 * Downstream: the page that compares two runs, the cost view of a trace.
 * Guarantee: the text says all that the bar shows.
 */
import type { ReactNode } from "react";

import { formatUsd } from "./format";
import { numbers, Table, type TableProps } from "./table";
import "./delta.css";

interface DeltaTableProps<Item> extends Omit<TableProps, "children"> {
  readonly items: readonly Item[];
  /** What stands before the difference. */
  readonly cells: (item: Item) => ReactNode;
  /** What the differences that are not listed add up to. */
  readonly rest?: { readonly name: string; readonly usd: string | null };
}

/** Differences with their bars, and what is left in the last row. */
export function DeltaTable<Item extends { readonly cost_delta_usd: string | null }>({ items, cells, rest, columns, ...table }: DeltaTableProps<Item>) {
  // Never 0: the longest bar is divided by it.
  const most = Math.max(...items.map((item) => Math.abs(Number(item.cost_delta_usd ?? 0))), 1e-12);
  return (
    <Table {...table} columns={[...columns, ...numbers("Difference")]}>
      {items.map((item, number) => (
        <tr key={number}>
          {cells(item)}
          <td className="num">
            <DeltaBar deltaUsd={item.cost_delta_usd} most={most} />
          </td>
        </tr>
      ))}
      {Number(rest?.usd ?? 0) !== 0 && (
        <tr>
          <td colSpan={columns.length}>{rest?.name}</td>
          <td className="num">{signedUsd(rest?.usd ?? null)}</td>
        </tr>
      )}
    </Table>
  );
}

/** The cell of a step: where it is, above what is said of it. */
export function StepCell({ path, children }: { readonly path: readonly string[]; readonly children: ReactNode }) {
  return (
    <td className="name">
      <span className="soft">{path.slice(0, -1).join(" › ")}</span>
      <div>{children}</div>
    </td>
  );
}

function DeltaBar({ deltaUsd, most }: { readonly deltaUsd: string | null; readonly most: number }) {
  const delta = Number(deltaUsd ?? 0);
  const width = Math.round((Math.abs(delta) / most) * 60);
  return (
    <span className="delta" data-more={delta > 0 || undefined}>
      {signedUsd(deltaUsd)}
      <svg width={62} height={10} aria-hidden="true">
        <rect x={0} y={1} width={Math.max(delta === 0 ? 0 : 1, width)} height={8} rx={1} />
      </svg>
    </span>
  );
}

function signedUsd(value: string | null): string {
  return Number(value ?? 0) > 0 ? `+${formatUsd(value)}` : formatUsd(value);
}

export function changeText(deltaUsd: string | null): string {
  if (deltaUsd === null) return "an unknown amount more or less";
  const delta = Number(deltaUsd);
  if (delta === 0) return "the same";
  return `${formatUsd(Math.abs(delta))} ${delta > 0 ? "more" : "less"}`;
}
