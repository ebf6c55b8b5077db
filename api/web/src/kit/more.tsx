/**
 * The button behind a list that goes on.
 *
 * Upstream: a list that is read page by page.
 * Downstream: traces, the runs of an agent, alerts.
 * Guarantee: nothing where the list ends.
 */
interface MoreProps {
  readonly asked: { readonly hasNextPage: boolean; readonly isFetchingNextPage: boolean; readonly fetchNextPage: () => Promise<unknown> };
}

export function More({ asked }: MoreProps) {
  if (!asked.hasNextPage) return null;
  return (
    <div className="more">
      <button type="button" className="button" disabled={asked.isFetchingNextPage} onClick={() => void asked.fetchNextPage()}>
        {asked.isFetchingNextPage ? "Loading …" : "Show more"}
      </button>
    </div>
  );
}
