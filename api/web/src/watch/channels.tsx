/**
 * The channels that tell people of alerts: where each leads, of what it tells, and whether it works.
 *
 * Upstream: GET /v1/channels.
 * Downstream: POST, PUT and DELETE of one; its test message.
 * Guarantee: secrets are typed in and never shown again; what came of a test is told in the receiver's words.
 */
import { useMutation, useQuery } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";

import { api, read } from "../api/client";
import { type ChannelItem, channelsQuery, rulesQuery } from "../api/queries";
import { useMay } from "../api/who";
import { ChoiceField, errorOf, Form, FormEnd, TextField } from "../kit/form";
import { formatCount, formatDuration } from "../kit/format";
import { Empty } from "../kit/states";
import { Table } from "../kit/table";
import { type ChannelKind, KINDS, newSigningKey, targetOf, targetText, textsOf } from "./channel_fields";
import { KeptList } from "./kept_list";
import { ruleName } from "./setting_value";

const SEVERITIES = [
  ["info", "info and above"],
  ["warning", "warning and above"],
  ["critical", "critical only"],
] as const;
const STATES = ["alert", "warn", "no_data", "ok"] as const;

export function Channels() {
  const channels = useQuery(channelsQuery);
  return (
    <KeptList
      asked={channels}
      queryKey={channelsQuery.queryKey}
      what="channel"
      make="Add a channel"
      empty={<Empty title="Nobody is told yet.">A channel tells a chat, a mailbox or a pager of alerts.</Empty>}
      nameOf={({ name }) => name}
      remove={({ name }) => read(api.DELETE("/v1/channels/{name}", { params: { path: { name } } }))}
      outcome={({ name }) => `${name} is told nothing any more; what waits for it is thrown away.`}
      form={(before, onDone) => <ChannelForm before={before} onDone={onDone} />}
    >
      {(items, buttons) => (
        <Table label="Channels" columns={["Channel", "Leads to", "Tells of", "Again", "Now", { name: "What can be done", isHidden: true }]}>
          {items.map((channel) => (
            <ChannelRow key={channel.name} channel={channel}>
              {buttons(channel)}
            </ChannelRow>
          ))}
        </Table>
      )}
    </KeptList>
  );
}

function ChannelRow({ channel, children }: { readonly channel: ChannelItem; readonly children: ReactNode }) {
  const { name, kind, filters, renotify_minutes, num_open, num_waiting, num_dead } = channel;
  return (
    <tr>
      <td>
        <strong>{name}</strong> <span className="badge">{KINDS[kind].name}</span>
      </td>
      <td>
        <span className="clip">{targetText(channel)}</span>
      </td>
      <td>
        {SEVERITIES.find(([severity]) => severity === filters.min_severity)?.[1]}
        {filters.rules.length > 0 && <span className="soft"> · {filters.rules.map(ruleName).join(", ")}</span>}
        {filters.agents.length > 0 && <span className="soft"> · {filters.agents.join(", ")}</span>}
      </td>
      <td>{renotify_minutes === 0 ? "never" : `every ${formatDuration(renotify_minutes * 60_000)}`}</td>
      <td>
        {formatCount(num_open)} open{num_waiting > 0 && `, ${formatCount(num_waiting)} wait`}{" "}
        {num_dead > 0 && <span className="badge badge-error">{formatCount(num_dead)} given up</span>}
      </td>
      <td>
        <div className="row-actions">
          <TestButton name={name} />
          {children}
        </div>
      </td>
    </tr>
  );
}

function TestButton({ name }: { readonly name: string }) {
  const mayTest = useMay("operator");
  const test = useMutation({ mutationFn: () => read(api.POST("/v1/channels/{name}/test", { params: { path: { name } } })) });
  if (!mayTest) return null;
  return (
    <>
      <button type="button" className="button button-small" aria-label={`Test ${name}`} disabled={test.isPending} onClick={() => test.mutate()}>
        {test.isPending ? "Testing …" : "Test"}
      </button>
      <span role="status">
        {test.data?.is_sent === true && <span className="badge badge-ok">✓ taken</span>}
        {test.data?.is_sent === false && <span className="field-error">✕ {test.data.reason}</span>}
        {test.isError && <span className="field-error">✕ {test.error.message}</span>}
      </span>
    </>
  );
}

function ChannelForm({ before, onDone }: { readonly before: ChannelItem | undefined; readonly onDone: () => Promise<void> }) {
  const rules = useQuery(rulesQuery(undefined));
  const [name, setName] = useState(before?.name ?? "");
  const [kind, setKind] = useState<ChannelKind>(before?.kind ?? "slack");
  const [signingKey] = useState(newSigningKey);
  const [texts, setTexts] = useState<Readonly<Record<string, string>>>(() => (before === undefined ? {} : textsOf(before)));
  const [severity, setSeverity] = useState(before?.filters.min_severity ?? "warning");
  const [rule, setRule] = useState<readonly string[]>(before?.filters.rules ?? []);
  const [agents, setAgents] = useState(before?.filters.agents.join(", ") ?? "");
  const [tellsOk, setTellsOk] = useState(before?.filters.states.includes("ok") ?? true);
  const [again, setAgain] = useState(String(before?.renotify_minutes ?? 0));
  const { fields } = KINDS[kind];
  const valueOf = (field: (typeof fields)[number]) => texts[field.name] ?? (field.isMade && before === undefined ? signingKey : (field.choices?.[0] ?? ""));
  const save = useMutation({
    mutationFn: () => {
      const body = {
        target: targetOf(kind, Object.fromEntries(fields.map((field) => [field.name, valueOf(field)]))),
        filters: {
          min_severity: severity,
          rules: rule as ChannelItem["filters"]["rules"],
          agents: agents.split(",").map((agent) => agent.trim()).filter((agent) => agent !== ""),
          states: STATES.filter((state) => state !== "ok" || tellsOk),
        },
        renotify_minutes: Number(again),
      };
      if (before !== undefined) return read(api.PUT("/v1/channels/{name}", { params: { path: { name: before.name } }, body }));
      return read(api.POST("/v1/channels", { body: { name: name.trim(), ...body } }));
    },
    onSuccess: onDone,
  });
  return (
    <Form autoComplete="off" onSend={() => save.mutate()}>
      <TextField label="Name" hint="small letters, digits, . _ -" required maxLength={63} value={name} disabled={before !== undefined} error={errorOf(save.error, "name")} onText={setName} />
      <ChoiceField
        label="Kind"
        value={kind}
        disabled={before !== undefined}
        choices={Object.entries(KINDS).map(([value, { name: shown }]) => [value as ChannelKind, shown] as const)}
        onChoice={setKind}
      />
      {fields.map((field) => {
        const hint = before !== undefined && field.isSecret ? "empty: stays as it is" : field.hint;
        const common = { key: field.name, label: field.label, hint, error: errorOf(save.error, `target.${field.name}`), value: valueOf(field) };
        const onText = (text: string) => setTexts({ ...texts, [field.name]: text });
        if (field.choices !== undefined) return <ChoiceField {...common} key={field.name} choices={field.choices.map((choice) => [choice, choice] as const)} onChoice={onText} />;
        return <TextField {...common} key={field.name} required={field.isOptional !== true && (before === undefined || field.isSecret !== true)} onText={onText} />;
      })}
      <ChoiceField label="Tells of" value={severity} choices={SEVERITIES} onChoice={setSeverity} />
      <ChoiceField
        label="Rules"
        value={rule.length > 1 ? "several" : (rule[0] ?? "")}
        choices={[["", "all rules"], ...(rule.length > 1 ? ([["several", rule.map(ruleName).join(", ")]] as const) : []), ...(rules.data?.items ?? []).map((item) => [item.rule as string, ruleName(item.rule)] as const)]}
        error={errorOf(save.error, "filters.rules")}
        onChoice={(chosen) => chosen !== "several" && setRule(chosen === "" ? [] : [chosen])}
      />
      <TextField label="Agents" hint="with commas between; empty: all" value={agents} error={errorOf(save.error, "filters.agents")} onText={setAgents} />
      <TextField label="Tell again every, in minutes" hint="while it lasts; 0: never" inputMode="numeric" value={again} error={errorOf(save.error, "renotify_minutes")} onText={setAgain} />
      <label className="check form-whole">
        <input type="checkbox" checked={tellsOk} onChange={(event) => setTellsOk(event.target.checked)} />
        Also tell when it is over
      </label>
      <FormEnd error={save.error} fields={["name", "filters.rules", "filters.agents", "renotify_minutes", ...fields.map((field) => `target.${field.name}`)]} isPending={save.isPending} />
    </Form>
  );
}
