/**
 * A field for SQL with highlighting and completion.
 *
 * Upstream: the text; tables with their columns.
 * Downstream: the SQL page.
 * Guarantee: lives in a shadow root, so that the editor's styles are adopted sheets, which a strict CSP allows, and not
 * style elements, which it does not. Tab leaves the field; Ctrl and Enter run.
 */
import { sql } from "@codemirror/lang-sql";
import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { Compartment, EditorState } from "@codemirror/state";
import { EditorView, keymap } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { minimalSetup } from "codemirror";
import { useEffect, useEffectEvent, useRef } from "react";

export type SqlSchema = Readonly<Record<string, readonly string[]>>;

interface EditorProps {
  readonly text: string;
  readonly schema: SqlSchema;
  readonly onChange: (text: string) => void;
  readonly onRun: () => void;
}

const colours = HighlightStyle.define([
  { tag: tags.keyword, color: "var(--run)", fontWeight: "600" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--ok)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--tool)" },
  { tag: tags.comment, color: "var(--text-soft)", fontStyle: "italic" },
  { tag: tags.typeName, color: "var(--model)" },
]);

const look = EditorView.theme({
  "&": { color: "var(--text)", backgroundColor: "var(--surface)", fontSize: "13px", height: "100%" },
  "&.cm-focused": { outline: "2px solid var(--accent)" },
  ".cm-content": { fontFamily: "var(--mono)", caretColor: "var(--text)", padding: "10px 4px" },
  ".cm-scroller": { overflow: "auto" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  "&.cm-focused .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--accent-soft) !important" },
});

function language(schema: SqlSchema) {
  return sql({ upperCaseKeywords: true, schema: Object.fromEntries(Object.entries(schema).map(([name, columns]) => [name, [...columns]])) });
}

export default function Editor({ text, schema, onChange, onRun }: EditorProps) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(undefined);
  const dialect = useRef(new Compartment());
  const run = useEffectEvent(onRun);
  const change = useEffectEvent(onChange);

  useEffect(() => {
    const box = host.current;
    if (box === null) return;
    const root = box.shadowRoot ?? box.attachShadow({ mode: "open" });
    const made = new EditorView({
      root,
      parent: root,
      state: EditorState.create({
        doc: text,
        extensions: [
          keymap.of([{ key: "Mod-Enter", run: () => (run(), true) }]),
          minimalSetup,
          syntaxHighlighting(colours),
          look,
          dialect.current.of(language(schema)),
          EditorView.lineWrapping,
          EditorView.contentAttributes.of({ "aria-label": "SQL" }),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) change(update.state.doc.toString());
          }),
        ],
      }),
    });
    view.current = made;
    return () => made.destroy();
    // Made once; text and schema are given to it below.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, []);

  useEffect(() => {
    const made = view.current;
    if (made !== undefined && made.state.doc.toString() !== text) {
      made.dispatch({ changes: { from: 0, to: made.state.doc.length, insert: text } });
    }
  }, [text]);

  useEffect(() => {
    view.current?.dispatch({ effects: dialect.current.reconfigure(language(schema)) });
  }, [schema]);

  return <div ref={host} className="sql-editor" data-editor="" />;
}
