/**
 * Markdown as elements of the page.
 *
 * Upstream: `markdown`.
 * Downstream: Tracy.
 * Guarantee: made of elements and text only; a citation is a button that the caller draws.
 */
import { type ReactNode, useMemo } from "react";
import { Link } from "react-router";

import { type Block, type Inline, parseMarkdown } from "./markdown";

type DrawCitation = (id: string, text: string) => ReactNode;

interface MarkdownProps {
  readonly text: string;
  readonly onCitation: DrawCitation;
}

export function Markdown({ text, onCitation }: MarkdownProps) {
  const blocks = useMemo(() => parseMarkdown(text), [text]);
  return (
    <div className="markdown">
      {blocks.map((block, at) => (
        <BlockView key={at} block={block} onCitation={onCitation} />
      ))}
    </div>
  );
}

function BlockView({ block, onCitation }: { readonly block: Block; readonly onCitation: DrawCitation }) {
  const line = (parts: readonly Inline[]) => <InlineView parts={parts} onCitation={onCitation} />;
  switch (block.kind) {
    case "heading":
      return <h3>{line(block.parts)}</h3>;
    case "code":
      return <pre className="secret">{block.text}</pre>;
    case "quote":
      return <blockquote>{line(block.parts)}</blockquote>;
    case "list": {
      const items = block.items.map((item, at) => <li key={at}>{line(item)}</li>);
      return block.isOrdered ? <ol>{items}</ol> : <ul>{items}</ul>;
    }
    case "table":
      return (
        <div className="table-box" tabIndex={0} role="region" aria-label="Table">
          <table className="table">
            <thead>
              <tr>
                {block.head.map((cell, at) => (
                  <th key={at} scope="col">
                    {line(cell)}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {block.rows.map((row, number) => (
                <tr key={number}>
                  {row.map((cell, at) => (
                    <td key={at}>{line(cell)}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      );
    default:
      return <p>{line(block.parts)}</p>;
  }
}

function InlineView({ parts, onCitation }: { readonly parts: readonly Inline[]; readonly onCitation: DrawCitation }) {
  return parts.map((part, at) => {
    switch (part.kind) {
      case "text":
        return <span key={at}>{part.text}</span>;
      case "code":
        return <code key={at}>{part.text}</code>;
      case "citation":
        return <span key={at}>{onCitation(part.id, part.text)}</span>;
      case "link":
        return (
          <Link key={at} to={part.to}>
            <InlineView parts={part.parts} onCitation={onCitation} />
          </Link>
        );
      default: {
        const inner = <InlineView parts={part.parts} onCitation={onCitation} />;
        return part.kind === "strong" ? <strong key={at}>{inner}</strong> : <em key={at}>{inner}</em>;
      }
    }
  });
}
