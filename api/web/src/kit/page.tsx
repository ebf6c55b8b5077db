/**
 * The head of a page: its one heading, which is also the title of the window.
 *
 * Upstream: the page's name.
 * Downstream: every page.
 * Guarantee: whoever comes by link or key hears the heading first.
 */
import { type ReactNode, useEffect } from "react";

interface PageProps {
  readonly title: string;
  readonly actions?: ReactNode;
  readonly lead?: ReactNode;
  readonly className?: string;
  readonly children: ReactNode;
}

export function Page({ title, actions, lead, className, children }: PageProps) {
  useEffect(() => {
    document.title = `${title} · ClawTrace`;
  }, [title]);
  return (
    <div className={`page ${className ?? ""}`}>
      <header className="page-head">
        <div className="page-title">
          <h1>{title}</h1>
          {lead}
        </div>
        {actions !== undefined && <div className="page-actions">{actions}</div>}
      </header>
      {children}
    </div>
  );
}
