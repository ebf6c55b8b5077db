/**
 * A list of things that admins keep: made and changed in a form, removed after a question.
 *
 * Upstream: the query of the list; a form and a view of each thing.
 * Downstream: budgets, channels.
 * Guarantee: who may not change them is told the role for it and offered nothing.
 */
import { type UseQueryResult, useMutation, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";

import { useMay } from "../api/who";
import { Confirm, Dialog } from "../kit/dialog";
import { Listed } from "../kit/states";

interface KeptListProps<Item> {
  readonly asked: UseQueryResult<{ readonly items: readonly Item[] }>;
  readonly queryKey: readonly unknown[];
  /** "budget": how one of them is called. */
  readonly what: string;
  /** "Make a budget". */
  readonly make: string;
  readonly empty: ReactNode;
  readonly nameOf: (item: Item) => string;
  readonly remove: (item: Item) => Promise<unknown>;
  /** What removing it leads to. */
  readonly outcome: (item: Item) => string;
  readonly form: (before: Item | undefined, onDone: () => Promise<void>) => ReactNode;
  /** The list, with the buttons of each. */
  readonly children: (items: readonly Item[], buttons: (item: Item) => ReactNode) => ReactNode;
}

export function KeptList<Item>({ asked, queryKey, what, make, empty, nameOf, remove, outcome, form, children }: KeptListProps<Item>) {
  const client = useQueryClient();
  const mayChange = useMay("admin");
  const [editing, setEditing] = useState<Item | "new">();
  const [removing, setRemoving] = useState<Item>();
  const renew = () => client.invalidateQueries({ queryKey });
  const removal = useMutation({
    mutationFn: remove,
    onSuccess: () => {
      setRemoving(undefined);
      return renew();
    },
  });
  const buttons = (item: Item) =>
    mayChange && (
      <>
        <button type="button" className="button button-small" aria-label={`Change ${nameOf(item)}`} onClick={() => setEditing(() => item)}>
          Change
        </button>
        <button type="button" className="button button-small" aria-label={`Remove ${nameOf(item)}`} onClick={() => setRemoving(() => item)}>
          Remove
        </button>
      </>
    );
  return (
    <>
      {mayChange ? (
        <p>
          <button type="button" className="button button-main" onClick={() => setEditing("new")}>
            {make}
          </button>
        </p>
      ) : (
        <p className="soft">To set {what}s you need the role admin.</p>
      )}
      <Listed asked={asked} what={`${what}s`} empty={empty}>
        {(items) => children(items, buttons)}
      </Listed>
      <Dialog title={editing === "new" ? make : `Change the ${what}`} isOpen={editing !== undefined} onClose={() => setEditing(undefined)} isWide>
        {editing !== undefined &&
          form(editing === "new" ? undefined : editing, async () => {
            await renew();
            setEditing(undefined);
          })}
      </Dialog>
      <Confirm
        title={`Remove this ${what}?`}
        act="Remove"
        isOpen={removing !== undefined}
        isPending={removal.isPending}
        error={removal.error}
        onConfirm={() => removing !== undefined && removal.mutate(removing)}
        onClose={() => setRemoving(undefined)}
      >
        {removing !== undefined && outcome(removing)}
      </Confirm>
    </>
  );
}
