/**
 * One figure with its name, and how it was before.
 *
 * Upstream: a formatted value.
 * Downstream: overview, agent, compare.
 * Guarantee: the change is told in words, not by colour alone.
 */
import type { ReactNode } from "react";

import { formatShare } from "./format";

interface TileProps {
  readonly name: string;
  readonly value: string;
  readonly note?: ReactNode;
}

export function Tile({ name, value, note }: TileProps) {
  return (
    <div className="card tile">
      <div className="tile-name">{name}</div>
      <div className="tile-value">{value}</div>
      <div className="soft">{note ?? "\u00a0"}</div>
    </div>
  );
}

/** "12 % more than before"; nothing where neither is known. */
export function changeSince(now: number | null, before: number | null): string {
  if (now === null) return "";
  if (before === null) return "nothing before";
  if (now === before) return now === 0 ? "" : "as before";
  if (before === 0) return "nothing before";
  return `${formatShare(Math.abs(now - before) / before)} ${now > before ? "more" : "less"} than before`;
}
