/**
 * State of a page in its address, so that a link shows what its sender saw.
 *
 * Upstream: the address.
 * Downstream: filters, time ranges, views, the selected span.
 * Guarantee: empty values are left out; moving within a page replaces, so that Back leaves the page.
 */
import { useCallback } from "react";
import { useSearchParams } from "react-router";

export interface UrlState {
  readonly get: (name: string) => string | undefined;
  readonly set: (changes: Record<string, string | undefined>) => void;
}

export function useUrlState(): UrlState {
  const [parameters, setParameters] = useSearchParams();
  const get = useCallback((name: string) => parameters.get(name) || undefined, [parameters]);
  const set = useCallback(
    (changes: Record<string, string | undefined>) =>
      setParameters(
        (before) => {
          const next = new URLSearchParams(before);
          for (const [name, value] of Object.entries(changes)) {
            if (value === undefined || value === "") next.delete(name);
            else next.set(name, value);
          }
          return next;
        },
        { replace: true, preventScrollReset: true },
      ),
    [setParameters],
  );
  return { get, set };
}
