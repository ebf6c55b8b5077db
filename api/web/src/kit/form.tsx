/**
 * Fields of a form, each with its name, its hint and what the API says against it.
 *
 * Upstream: the state of a form; the problem of its last sending.
 * Downstream: the pages that change something.
 * Guarantee: a screen reader hears hint and error with the field; an error that belongs to no field is told above.
 */
import { type ComponentProps, type ReactNode, useId } from "react";

import { Problem } from "../api/client";
import { Failed } from "./states";

interface FieldProps {
  readonly label: string;
  readonly hint?: string | undefined;
  readonly error?: string | undefined;
}

interface Described {
  readonly id: string;
  readonly "aria-describedby": string | undefined;
  readonly "aria-invalid": true | undefined;
}

function Field({ label, hint, error, children }: FieldProps & { readonly children: (described: Described) => ReactNode }) {
  const id = useId();
  const notes = [hint === undefined ? "" : `${id}-hint`, error === undefined ? "" : `${id}-error`].filter(Boolean).join(" ");
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children({ id, "aria-describedby": notes || undefined, "aria-invalid": error === undefined ? undefined : true })}
      {hint !== undefined && (
        <small id={`${id}-hint`} className="soft">
          {hint}
        </small>
      )}
      {error !== undefined && (
        <small id={`${id}-error`} className="field-error">
          {error}
        </small>
      )}
    </div>
  );
}

type TextProps = FieldProps & { readonly onText: (text: string) => void } & Omit<ComponentProps<"input">, "onChange">;

export function TextField({ label, hint, error, onText, ...input }: TextProps) {
  return (
    <Field label={label} hint={hint} error={error}>
      {(described) => <input className="input" {...input} {...described} onChange={(event) => onText(event.target.value)} />}
    </Field>
  );
}

interface ChoiceProps<Value extends string> extends FieldProps {
  readonly value: Value;
  readonly choices: readonly (readonly [Value, string])[];
  readonly onChoice: (value: Value) => void;
  readonly disabled?: boolean;
}

export function ChoiceField<Value extends string>({ label, hint, error, value, choices, onChoice, disabled }: ChoiceProps<Value>) {
  return (
    <Field label={label} hint={hint} error={error}>
      {(described) => (
        <select className="input" value={value} disabled={disabled} {...described} onChange={(event) => onChoice(event.target.value as Value)}>
          {choices.map(([choice, name]) => (
            <option key={choice} value={choice}>
              {name}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

/** What the API says against one field, such as `body.limit`. */
export function errorOf(problem: unknown, field: string): string | undefined {
  if (!(problem instanceof Problem)) return undefined;
  const said = problem.fields.find((error) => error.field === field || error.field === `body.${field}`);
  return said === undefined ? undefined : said.message || problem.message;
}

interface FormProps extends Omit<ComponentProps<"form">, "onSubmit"> {
  readonly onSend: () => void;
}

/** A form that is sent by us, never by the browser. */
export function Form({ onSend, ...form }: FormProps) {
  return (
    <form
      className="form"
      {...form}
      onSubmit={(event) => {
        event.preventDefault();
        onSend();
      }}
    />
  );
}

interface FormEndProps {
  readonly error: unknown;
  /** Fields that tell what is wrong with them beside themselves. */
  readonly fields: readonly string[];
  readonly isPending: boolean;
  readonly send?: string;
  readonly isDangerous?: boolean;
}

/** What is wrong with all of it, and the button that sends it. */
export function FormEnd({ error, fields, isPending, send = "Save", isDangerous = false }: FormEndProps) {
  return (
    <div className="form-whole">
      <FormProblem error={error} fields={fields} />
      <p className="dialog-actions">
        <button type="submit" className={`button ${isDangerous ? "button-danger" : "button-main"}`} disabled={isPending}>
          {send}
        </button>
      </p>
    </div>
  );
}

/** The problem of a sending, unless each part of it is told beside its field. */
export function FormProblem({ error, fields = [] }: { readonly error: unknown; readonly fields?: readonly string[] }) {
  if (error === null || error === undefined) return null;
  const isTold = error instanceof Problem && error.fields.length > 0 && error.fields.every(({ field }) => fields.includes(field.replace(/^body\./, "")));
  return isTold ? null : <Failed error={error} />;
}
