/**
 * What the person who is signed in may do.
 *
 * Upstream: the session.
 * Downstream: buttons that change something.
 * Guarantee: only says what to offer; the API decides.
 */
import { useQuery } from "@tanstack/react-query";

import { type Role, sessionQuery } from "./queries";

const RANK: Record<Role, number> = { viewer: 0, operator: 1, admin: 2 };

export function useMay(role: Role): boolean {
  const session = useQuery(sessionQuery);
  return session.data !== undefined && RANK[session.data.role] >= RANK[role];
}
