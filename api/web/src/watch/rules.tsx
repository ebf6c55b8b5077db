/**
 * The alert rules: what each looks for, its settings, and what was set for the tenant or one agent.
 *
 * Upstream: GET /v1/rules; PUT and DELETE of a rule's override.
 * Downstream: the stitcher, which reads a change within ten seconds.
 * Guarantee: only what differs from the layer above is sent; what the file of the install says is shown as its own.
 */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, read } from "../api/client";
import { agentsQuery, type RuleItem, type RuleSetting, rulesQuery } from "../api/queries";
import { useMay } from "../api/who";
import { Dialog } from "../kit/dialog";
import { ChoiceField, errorOf, Form, FormProblem, TextField } from "../kit/form";
import { formatInstant, formatValue } from "../kit/format";
import { Empty, Listed } from "../kit/states";
import { Table } from "../kit/table";
import { windowOf } from "../kit/time_range";
import { microsOf } from "../kit/tokens";
import { useUrlState } from "../kit/url_state";
import { choicesOf, kindOf, ruleName, settingName, textOf, valueOf } from "./setting_value";

const LAYERS = { default: "built in", install: "the install's file", tenant: "set for all agents", agent: "set for this agent" } as const;

export function Rules() {
  const { get, set } = useUrlState();
  const agentId = get("agent");
  const rules = useQuery(rulesQuery(agentId));
  const agents = useQuery(agentsQuery(windowOf("30d")));
  const names = (agents.data?.items ?? []).map((agent) => agent.agent_id);
  const [open, setOpen] = useState<string>();
  const [wanted, setWanted] = useState("");
  const words = wanted.trim().toLowerCase();
  const opened = rules.data?.items.find((item) => item.rule === open);
  return (
    <>
      <div className="filters" role="search" aria-label="Rules">
        <ChoiceField
          label="Settings for"
          value={agentId ?? ""}
          choices={[["", "all agents"], ...[...new Set(agentId === undefined ? names : [agentId, ...names])].map((name) => [name, name] as const)]}
          onChoice={(next) => set({ agent: next || undefined })}
        />
        <label className="field wide">
          <span>Rule or what it looks for</span>
          <input className="input" type="search" data-search value={wanted} onChange={(event) => setWanted(event.target.value)} />
        </label>
      </div>
      <Listed asked={rules} what="rules" empty={<Empty title="There are no rules." />}>
        {(items) => (
          <Table label="Rules" caption="Alert rules" columns={["Rule", "What it looks for", "Severity", "Agent is told", "Set here"]}>
            {items.filter(({ rule, meaning }) => `${ruleName(rule)} ${meaning}`.toLowerCase().includes(words)).map((item) => (
              <RuleRow key={item.rule} item={item} onOpen={() => setOpen(item.rule)} />
            ))}
          </Table>
        )}
      </Listed>
      <Dialog title={opened === undefined ? "Rule" : ruleName(opened.rule)} isOpen={opened !== undefined} onClose={() => setOpen(undefined)} isWide>
        {opened !== undefined && <RuleForm key={`${opened.rule} ${agentId}`} item={opened} agentId={agentId} onDone={() => setOpen(undefined)} />}
      </Dialog>
    </>
  );
}

function settingOf(item: RuleItem, name: string): RuleSetting | undefined {
  return item.settings.find((setting) => setting.name === name);
}

function RuleRow({ item, onOpen }: { readonly item: RuleItem; readonly onOpen: () => void }) {
  const isOn = settingOf(item, "enabled")?.value !== false;
  const severity = formatValue(settingOf(item, "severity")?.value);
  const action = formatValue(settingOf(item, "action")?.value) || "none";
  const changed = item.settings.filter((setting) => setting.set_by !== "default");
  return (
    <tr>
      <td>
        <button type="button" className="button-link" onClick={onOpen}>
          {ruleName(item.rule)}
        </button>
      </td>
      <td className="name">{item.meaning}</td>
      <td>{isOn ? <span className={`badge badge-${severity}`}>{severity}</span> : <span className="badge">off</span>}</td>
      <td>{action === "none" ? <span className="soft">nothing</span> : action}</td>
      <td>{changed.length === 0 ? <span className="soft">as built in</span> : changed.map((setting) => settingName(setting.name)).join(", ")}</td>
    </tr>
  );
}

interface RuleFormProps {
  readonly item: RuleItem;
  readonly agentId: string | undefined;
  readonly onDone: () => void;
}

function RuleForm({ item, agentId, onDone }: RuleFormProps) {
  const client = useQueryClient();
  const mayChange = useMay("admin");
  const [texts, setTexts] = useState<Readonly<Record<string, string>>>({});
  const own = item.overrides.find((override) => !override.is_from_file && (override.agent_id ?? undefined) === agentId);
  const params = { path: { rule: item.rule } };
  const done = async () => {
    await client.invalidateQueries({ queryKey: ["rules"] });
    onDone();
  };
  const save = useMutation({
    mutationFn: () => {
      const typed = item.settings.filter((setting) => texts[setting.name] !== undefined);
      const settings = { ...own?.settings, ...Object.fromEntries(typed.map((setting) => [setting.name, valueOf(setting, texts[setting.name]!)])) };
      return read(api.PUT("/v1/rules/{rule}/override", { params, body: { settings, ...(agentId === undefined ? {} : { agent_id: agentId }) } }));
    },
    onSuccess: done,
  });
  const takeBack = useMutation({
    mutationFn: () =>
      read(api.DELETE("/v1/rules/{rule}/override", { params: { ...params, query: agentId === undefined ? {} : { agent_id: agentId } } })),
    onSuccess: done,
  });
  const whose = agentId === undefined ? "all agents" : agentId;
  return (
    <Form onSend={() => save.mutate()}>
      <div className="form-whole">
        <p>{item.meaning}</p>
        <p className="soft">Ok again: {item.recovery}</p>
        <p className="soft">What to do: {item.remedy}</p>
      </div>
      {item.settings.map((setting) => (
        <SettingField
          key={setting.name}
          setting={setting}
          isFixed={!mayChange}
          text={texts[setting.name] ?? textOf(setting.value)}
          error={errorOf(save.error, `settings.${setting.name}`)}
          onText={(text) => setTexts({ ...texts, [setting.name]: text })}
        />
      ))}
      <div className="form-whole">
        <FormProblem error={save.error ?? takeBack.error} fields={item.settings.map((setting) => `settings.${setting.name}`)} />
        {item.overrides.some((override) => override.is_from_file) && <p className="soft">The install's file sets some of these, too; its operator changes them there.</p>}
        {own !== undefined && (
          <p className="soft">
            Set for {whose} by {own.updated_by}, {formatInstant(microsOf(own.updated_at))}.
          </p>
        )}
        {!mayChange && <p className="soft">To change rules you need the role admin.</p>}
        {mayChange && (
          <p className="dialog-actions">
            <button type="submit" className="button button-main" disabled={save.isPending || Object.keys(texts).length === 0}>
              Save for {whose}
            </button>
            {own !== undefined && (
              <button type="button" className="button" disabled={takeBack.isPending} onClick={() => takeBack.mutate()}>
                Take back what is set for {whose}
              </button>
            )}
          </p>
        )}
      </div>
    </Form>
  );
}

interface SettingFieldProps {
  readonly setting: RuleSetting;
  readonly text: string;
  readonly error: string | undefined;
  readonly isFixed: boolean;
  readonly onText: (text: string) => void;
}

function SettingField({ setting, text, error, isFixed, onText }: SettingFieldProps) {
  const kind = kindOf(setting);
  const name = settingName(setting.name);
  const label = name.charAt(0).toUpperCase() + name.slice(1);
  const layer = setting.set_by === "default" ? "" : ` Now ${LAYERS[setting.set_by]}; built in: ${textOf(setting.default)}.`;
  const hint = setting.description + layer;
  if (kind === "choice" || kind === "yes_no") {
    const choices = kind === "choice" ? choicesOf(setting).map((choice) => [choice, choice] as const) : ([["true", "yes"], ["false", "no"]] as const);
    return <ChoiceField label={label} hint={hint} error={error} value={text} choices={choices} disabled={isFixed} onChoice={onText} />;
  }
  return <TextField label={label} hint={hint} error={error} value={text} disabled={isFixed} inputMode={kind === "number" ? "decimal" : "text"} onText={onText} />;
}
