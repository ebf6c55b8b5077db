/**
 * Conversations of before: looked at, gone on with, or deleted.
 *
 * Upstream: GET /v1/tracy/sessions.
 * Downstream: the panel, which shows the turns of the one that is chosen.
 * Guarantee: a conversation is read again as it was shown; its figures keep their sources.
 */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";

import { api, read } from "../api/client";
import { conversationsQuery } from "../api/queries";
import { formatAgo } from "../kit/format";
import { Empty, Failed, Loading } from "../kit/states";
import { microsOf } from "../kit/tokens";
import { storedTurn, type Turn } from "./conversation";

interface PastProps {
  readonly onOpen: (sessionId: string, turns: readonly Turn[]) => void;
}

export function Past({ onOpen }: PastProps) {
  const client = useQueryClient();
  const conversations = useQuery(conversationsQuery);
  const open = useMutation({
    mutationFn: (sessionId: string) => read(api.GET("/v1/tracy/sessions/{session_id}", { params: { path: { session_id: sessionId } } })),
    onSuccess: ({ session, turns }) => onOpen(session.session_id, turns.map(storedTurn)),
  });
  const remove = useMutation({
    mutationFn: (sessionId: string) => read(api.DELETE("/v1/tracy/sessions/{session_id}", { params: { path: { session_id: sessionId } } })),
    onSuccess: () => client.invalidateQueries({ queryKey: conversationsQuery.queryKey }),
  });
  const failed = open.error ?? remove.error;
  return (
    <section aria-labelledby="tracy-past">
      <h3 id="tracy-past">Past conversations</h3>
      {failed !== null && <Failed error={failed} />}
      {conversations.isPending && <Loading what="conversations" />}
      {conversations.isLoadingError && <Failed error={conversations.error} onRetry={() => void conversations.refetch()} />}
      {conversations.data?.items.length === 0 && <Empty title="There is none yet." />}
      <ul className="tracy-past">
        {conversations.data?.items.map(({ session_id, title, updated_at }) => (
          <li key={session_id}>
            <button type="button" className="button-link" disabled={open.isPending} onClick={() => open.mutate(session_id)}>
              {title}
            </button>
            <span className="soft">{formatAgo(microsOf(updated_at))}</span>
            <button type="button" className="button button-small" aria-label={`Delete ${title}`} disabled={remove.isPending} onClick={() => remove.mutate(session_id)}>
              Delete
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
