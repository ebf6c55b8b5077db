/**
 * A button that copies a text and says that it did.
 *
 * Upstream: the text, or a promise of it.
 * Downstream: step detail, keys, SQL.
 * Guarantee: where the browser refuses, it says so.
 */
import { useEffect, useState } from "react";

interface CopyButtonProps {
  readonly text: string | (() => Promise<string>);
  readonly label?: string;
}

export function CopyButton({ text, label = "Copy" }: CopyButtonProps) {
  const [said, setSaid] = useState<string>();
  useEffect(() => {
    if (said === undefined) return;
    const timer = setTimeout(() => setSaid(undefined), 2_000);
    return () => clearTimeout(timer);
  }, [said]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(typeof text === "string" ? text : await text());
      setSaid("Copied");
    } catch {
      setSaid("The browser refused");
    }
  };
  return (
    <button type="button" className="button button-small" onClick={() => void copy()}>
      <span aria-live="polite">{said ?? label}</span>
    </button>
  );
}
