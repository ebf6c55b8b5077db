/**
 * What something costs more or less than something else: as text, and as a bar.
 *
 * Upstream: differences in dollars, as the API says them.
 * Downstream: the page that compares two runs, the cost view of a trace.
 * Guarantee: the text says all that the bar shows.
 */
import { formatUsd } from "./format";
import "./delta.css";

export function DeltaBar({ deltaUsd, most }: { readonly deltaUsd: string | null; readonly most: number }) {
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

/** The largest of some differences, for the length of their bars; never 0. */
export function mostOf(items: readonly { readonly cost_delta_usd: string | null }[]): number {
  return Math.max(...items.map((item) => Math.abs(Number(item.cost_delta_usd ?? 0))), 1e-12);
}

export function signedUsd(value: string | null): string {
  return Number(value ?? 0) > 0 ? `+${formatUsd(value)}` : formatUsd(value);
}

export function changeText(deltaUsd: string | null): string {
  if (deltaUsd === null) return "an unknown amount more or less";
  const delta = Number(deltaUsd);
  if (delta === 0) return "the same";
  return `${formatUsd(Math.abs(delta))} ${delta > 0 ? "more" : "less"}`;
}
