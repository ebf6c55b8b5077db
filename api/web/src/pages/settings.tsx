/**
 * Keys, members, prices, retention, and who changed what.
 *
 * Upstream: /v1/keys, /v1/members, /v1/audit; `prices`, `retention`.
 * Downstream: people and agents that sign in.
 * Guarantee: a new key is shown once; what cannot be undone is asked for first.
 */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense, useState } from "react";

import { api, read } from "../api/client";
import { auditQuery, type KeyScope, keysQuery, membersQuery, type Role } from "../api/queries";
import { useMay } from "../api/who";
import { CopyButton } from "../kit/copy";
import { Confirm, Dialog } from "../kit/dialog";
import { Form } from "../kit/form";
import { formatAgo, formatInstant } from "../kit/format";
import { Page } from "../kit/page";
import { Empty, Failed, Listed, Loading } from "../kit/states";
import { Table } from "../kit/table";
import { Tabs } from "../kit/tabs";
import { microsOf } from "../kit/tokens";
import { useUrlState } from "../kit/url_state";

const Prices = lazy(async () => ({ default: (await import("./prices")).Prices }));

const Retention = lazy(async () => ({ default: (await import("./retention")).Retention }));

const TABS = [
  { id: "keys", name: "Keys" },
  { id: "members", name: "Members" },
  { id: "prices", name: "Prices" },
  { id: "retention", name: "Retention" },
  { id: "audit", name: "Changes" },
] as const;
const SCOPES: readonly (readonly [KeyScope, string])[] = [
  ["ingest", "ingest: an agent sends its runs"],
  ["read", "read: see everything"],
  ["operate", "operate: see to alerts, halt"],
  ["admin", "admin: keys and members, too"],
];
const ROLES: readonly Role[] = ["viewer", "operator", "admin"];

export default function Settings() {
  const { get, set } = useUrlState();
  const isAdmin = useMay("admin");
  const tab = TABS.find((wanted) => wanted.id === get("tab"))?.id ?? "keys";
  return (
    <Page title="Settings">
      {isAdmin ? (
        <Tabs label="Settings" tabs={TABS} current={tab} onChoose={(next) => set({ tab: next === "keys" ? undefined : next })}>
          {tab === "keys" && <Keys />}
          {tab === "members" && <Members />}
          {tab === "prices" && (
            <Suspense fallback={<Loading what="prices" />}>
              <Prices />
            </Suspense>
          )}
          {tab === "retention" && (
            <Suspense fallback={<Loading what="retention" />}>
              <Retention />
            </Suspense>
          )}
          {tab === "audit" && <Audit />}
        </Tabs>
      ) : (
        <Empty title="Settings need the role admin.">Sign in with an admin key, or ask somebody who has one.</Empty>
      )}
    </Page>
  );
}

function Keys() {
  const client = useQueryClient();
  const keys = useQuery(keysQuery);
  const [scope, setScope] = useState<KeyScope>("ingest");
  const [agent, setAgent] = useState("");
  const [revoking, setRevoking] = useState<string>();
  const renew = () => client.invalidateQueries({ queryKey: keysQuery.queryKey });
  const make = useMutation({
    mutationFn: () => read(api.POST("/v1/keys", { body: { scope, agent_id: agent.trim() || null } })),
    onSuccess: renew,
  });
  const revoke = useMutation({
    mutationFn: (keyId: string) => read(api.DELETE("/v1/keys/{key_id}", { params: { path: { key_id: keyId } } })),
    onSuccess: () => {
      setRevoking(undefined);
      return renew();
    },
  });
  return (
    <div className="page-section">
      <Form className="filters" onSend={() => make.mutate()}>
        <label className="field">
          <span>What the key may do</span>
          <select className="input" value={scope} onChange={(event) => setScope(event.target.value as KeyScope)}>
            {SCOPES.map(([value, name]) => (
              <option key={value} value={value}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <label className="field">
          <span>Agent {scope === "ingest" ? "" : "(not needed)"}</span>
          <input className="input" value={agent} required={scope === "ingest"} maxLength={128} onChange={(event) => setAgent(event.target.value)} />
        </label>
        <button type="submit" className="button button-main" disabled={make.isPending}>
          Make a key
        </button>
      </Form>
      {make.isError && <Failed error={make.error} />}
      <Listed asked={keys} what="keys" empty={<Empty title="There are no keys." />}>
        {(items) => (
          <Table label="Keys" columns={["Key", "May", "Agent", "Made", "Last used", { name: "Revoke", isHidden: true }]}>
            {items.map((key) => (
              <tr key={key.key_id}>
                <td className="mono">{key.key_id}</td>
                <td>{key.scope}</td>
                <td>{key.agent_id}</td>
                <td className="when">{formatInstant(microsOf(key.created_at))}</td>
                <td className="when">{key.last_used_at === null ? "never" : formatAgo(microsOf(key.last_used_at))}</td>
                <td>
                  {key.revoked_at === null ? (
                    <button type="button" className="button button-small" aria-label={`Revoke ${key.key_id}`} onClick={() => setRevoking(key.key_id)}>
                      Revoke
                    </button>
                  ) : (
                    <span className="badge">revoked</span>
                  )}
                </td>
              </tr>
            ))}
          </Table>
        )}
      </Listed>
      <Dialog title="Your new key" isOpen={make.data !== undefined} onClose={() => make.reset()}>
        <p>Copy it now: it is shown this once.</p>
        <pre className="secret">{make.data?.key}</pre>
        <CopyButton text={make.data?.key ?? ""} label="Copy the key" />
      </Dialog>
      <Confirm
        title="Revoke this key?"
        act="Revoke"
        isOpen={revoking !== undefined}
        isPending={revoke.isPending}
        error={revoke.error}
        onConfirm={() => revoking !== undefined && revoke.mutate(revoking)}
        onClose={() => setRevoking(undefined)}
      >
        Whoever uses <code>{revoking}</code> is shut out at once. This cannot be undone.
      </Confirm>
    </div>
  );
}

function Members() {
  const client = useQueryClient();
  const members = useQuery(membersQuery);
  const [memberId, setMemberId] = useState("");
  const [role, setRole] = useState<Role>("viewer");
  const [removing, setRemoving] = useState<string>();
  const renew = () => client.invalidateQueries({ queryKey: membersQuery.queryKey });
  const put = useMutation({
    mutationFn: (wanted: { id: string; role: Role }) =>
      read(api.PUT("/v1/members/{member_id}", { params: { path: { member_id: wanted.id } }, body: { role: wanted.role } })),
    onSuccess: renew,
  });
  const remove = useMutation({
    mutationFn: (id: string) => read(api.DELETE("/v1/members/{member_id}", { params: { path: { member_id: id } } })),
    onSuccess: () => {
      setRemoving(undefined);
      return renew();
    },
  });
  return (
    <div className="page-section">
      <Form className="filters" onSend={() => put.mutate({ id: memberId.trim(), role })}>
        <label className="field">
          <span>Member</span>
          <input className="input" required maxLength={128} value={memberId} onChange={(event) => setMemberId(event.target.value)} />
        </label>
        <RoleField role={role} onChange={setRole} label="Role" />
        <button type="submit" className="button button-main" disabled={put.isPending}>
          Add
        </button>
      </Form>
      {put.isError && <Failed error={put.error} />}
      <Listed asked={members} what="members" empty={<Empty title="No members yet.">Everybody who has a key can use ClawTrace without being one.</Empty>}>
        {(items) => (
          <Table label="Members" columns={["Member", "Role", "Since", { name: "Remove", isHidden: true }]}>
            {items.map((member) => (
              <tr key={member.member_id}>
                <td>{member.member_id}</td>
                <td>
                  <RoleField role={member.role} label={`Role of ${member.member_id}`} isHidden onChange={(next) => put.mutate({ id: member.member_id, role: next })} />
                </td>
                <td className="when">{formatInstant(microsOf(member.created_at))}</td>
                <td>
                  <button type="button" className="button button-small" aria-label={`Remove ${member.member_id}`} onClick={() => setRemoving(member.member_id)}>
                    Remove
                  </button>
                </td>
              </tr>
            ))}
          </Table>
        )}
      </Listed>
      <Confirm
        title="Remove this member?"
        act="Remove"
        isOpen={removing !== undefined}
        isPending={remove.isPending}
        error={remove.error}
        onConfirm={() => removing !== undefined && remove.mutate(removing)}
        onClose={() => setRemoving(undefined)}
      >
        {removing} can no longer sign in through your login provider; keys stay as they are.
      </Confirm>
    </div>
  );
}

interface RoleFieldProps {
  readonly role: Role;
  readonly label: string;
  readonly isHidden?: boolean;
  readonly onChange: (role: Role) => void;
}

function RoleField({ role, label, isHidden = false, onChange }: RoleFieldProps) {
  return (
    <label className="field">
      <span className={isHidden ? "visually-hidden" : undefined}>{label}</span>
      <select className="input" value={role} onChange={(event) => onChange(event.target.value as Role)}>
        {ROLES.map((name) => (
          <option key={name}>{name}</option>
        ))}
      </select>
    </label>
  );
}

function Audit() {
  const audit = useQuery(auditQuery);
  return (
    <Listed asked={audit} what="changes" empty={<Empty title="Nothing was changed yet." />}>
      {(items) => (
        <Table label="Changes" caption="Changes, newest first" columns={["When", "Who", "What", "Of what", "Details"]}>
          {items.map((entry, number) => (
            <tr key={number}>
              <td className="when">{formatInstant(microsOf(entry.at))}</td>
              <td className="mono">{entry.actor}</td>
              <td>{entry.action}</td>
              <td className="mono">{entry.target}</td>
              <td className="mono">
                <span className="clip">{JSON.stringify(entry.details)}</span>
              </td>
            </tr>
          ))}
        </Table>
      )}
    </Listed>
  );
}
