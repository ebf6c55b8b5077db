/**
 * The prices that somebody of the tenant wrote down, and the form for one more.
 *
 * Upstream: GET /v1/prices/overrides.
 * Downstream: PUT and DELETE of one of them.
 * Guarantee: a price of longer prompts stands with the price that it belongs to; what is wrong with a field is told beside it.
 */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, read } from "../api/client";
import { overridesQuery, type PriceOverride } from "../api/queries";
import { errorOf, Form, FormProblem, TextField } from "../kit/form";
import { formatTokens, formatUsd } from "../kit/format";
import { Empty, Listed } from "../kit/states";
import { numbers, Table } from "../kit/table";

const RATES = [
  ["input_usd_per_mtok", "Fresh input"],
  ["output_usd_per_mtok", "Output"],
  ["cache_read_usd_per_mtok", "Cache read"],
  ["cache_write_usd_per_mtok", "Cache write"],
] as const;
const RATE_NAMES = RATES.map(([name]) => name);
const FIELDS = ["provider", "model", "effective_from", "source", ...RATE_NAMES];
const ABOVE = "above_prompt_tokens";
const TIER_FIELDS = [ABOVE, ...RATE_NAMES];

/** What is typed, by the name of the field. */
type Texts = Readonly<Record<string, string>>;

function typedOf(texts: Texts): Texts {
  return Object.fromEntries(Object.entries(texts).filter(([, text]) => text.trim() !== "").map(([name, text]) => [name, text.trim()]));
}

export function OwnPrices() {
  const client = useQueryClient();
  const own = useQuery(overridesQuery);
  const [texts, setTexts] = useState<Texts>({});
  const [tiers, setTiers] = useState<readonly Texts[]>([]);
  const renew = () => Promise.all([client.invalidateQueries({ queryKey: overridesQuery.queryKey }), client.invalidateQueries({ queryKey: ["prices"] })]);
  const put = useMutation({
    mutationFn: () => {
      const body = { ...typedOf(texts), tiers: tiers.map((tier) => ({ ...typedOf(tier), [ABOVE]: Number(tier[ABOVE]) })) };
      return read(api.PUT("/v1/prices/overrides", { body: body as never }));
    },
    onSuccess: () => {
      setTexts({});
      setTiers([]);
      return renew();
    },
  });
  const remove = useMutation({
    mutationFn: ({ provider, model, effective_from }: PriceOverride) =>
      read(api.DELETE("/v1/prices/overrides", { params: { query: { provider, model, ...(effective_from ? { effective_from } : {}) } } })),
    onSuccess: renew,
  });
  const field = (name: string, label: string, more: { hint?: string; required?: boolean; type?: string } = {}) => (
    <TextField key={name} label={label} value={texts[name] ?? ""} error={errorOf(put.error, name)} onText={(text) => setTexts({ ...texts, [name]: text })} {...more} />
  );
  return (
    <section className="page-section" aria-labelledby="own-prices">
      <h2 id="own-prices">Your own prices</h2>
      <p className="soft">In dollars per million tokens; they win over the published ones, for calls from now on.</p>
      <Form onSend={() => put.mutate()}>
        {field("provider", "Provider", { required: true, hint: "as OpenClaw names it" })}
        {field("model", "Model", { required: true, hint: "* for all of the provider" })}
        {RATES.map(([name, label], at) => field(name, label, at < 2 ? { required: true } : { hint: "empty: as fresh input" }))}
        {field("effective_from", "First day", { type: "date", hint: "empty: always" })}
        {field("source", "Where it is from")}
        {tiers.map((tier, at) => (
          <TierFields
            key={at}
            tier={tier}
            errorOf={(name) => errorOf(put.error, `tiers.${at}.${name}`)}
            onChange={(next) => setTiers(tiers.with(at, next))}
            onRemove={() => setTiers(tiers.toSpliced(at, 1))}
          />
        ))}
        <div className="form-whole">
          <FormProblem error={put.error ?? remove.error} fields={[...FIELDS, ...tiers.flatMap((_, at) => TIER_FIELDS.map((name) => `tiers.${at}.${name}`))]} />
          <p className="row-actions">
          <button type="submit" className="button button-main" disabled={put.isPending}>
            Write the price down
          </button>
          <button type="button" className="button" onClick={() => setTiers([...tiers, {}])}>
            Add a price of longer prompts
          </button>
          </p>
        </div>
      </Form>
      <Listed asked={own} what="prices" empty={<Empty title="No price was written down." />}>
        {(items) => (
          <Table label="Own prices" columns={["Model", ...numbers(...RATES.map(([, label]) => label)), "Holds", "Whose"]}>
            {items.map((price) => (
              <tr key={`${price.provider} ${price.model} ${price.effective_from} ${price.is_own}`}>
                <td className="mono">
                  {price.provider}/{price.model}
                  {price.tiers.map(({ above_prompt_tokens }) => (
                    <div key={above_prompt_tokens} className="soft">
                      prompts above {formatTokens(above_prompt_tokens)} tokens
                    </div>
                  ))}
                </td>
                {RATES.map(([name]) => (
                  <td key={name} className="num">
                    {formatUsd(price[name] ?? price.input_usd_per_mtok)}
                    {price.tiers.map((tier) => (
                      <div key={tier.above_prompt_tokens} className="soft">
                        {formatUsd(tier[name] ?? tier.input_usd_per_mtok)}
                      </div>
                    ))}
                  </td>
                ))}
                <td>{price.effective_from === null || price.effective_from === undefined ? "always" : `from ${price.effective_from}`}</td>
                <td>
                  {price.is_own ? (
                    <button type="button" className="button button-small" aria-label={`Take back ${price.provider}/${price.model}`} disabled={remove.isPending} onClick={() => remove.mutate(price)}>
                      Take back
                    </button>
                  ) : (
                    <span className="soft">the install's</span>
                  )}
                </td>
              </tr>
            ))}
          </Table>
        )}
      </Listed>
    </section>
  );
}

interface TierProps {
  readonly tier: Texts;
  readonly errorOf: (name: string) => string | undefined;
  readonly onChange: (next: Texts) => void;
  readonly onRemove: () => void;
}

/** What a call costs whose prompt is longer than so many tokens. */
function TierFields({ tier, errorOf: wrong, onChange, onRemove }: TierProps) {
  const common = (name: string) => ({ value: tier[name] ?? "", error: wrong(name), onText: (text: string) => onChange({ ...tier, [name]: text }) });
  return (
    <fieldset className="form form-whole">
      <legend>Longer prompts</legend>
      <TextField label="Above tokens" required inputMode="numeric" {...common(ABOVE)} />
      {RATES.map(([name, label], at) => (
        <TextField key={name} label={label} required={at < 2} {...common(name)} />
      ))}
      <button type="button" className="button" onClick={onRemove}>
        Leave it out
      </button>
    </fieldset>
  );
}
