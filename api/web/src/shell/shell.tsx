/**
 * What is around every page: the list of pages, who is signed in, the theme, the keys, Tracy.
 *
 * Upstream: the session.
 * Downstream: the page, in `main`.
 * Guarantee: the first Tab leads past the navigation; a page that breaks leaves the rest standing.
 */
import { useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, useState } from "react";
import { NavLink, Outlet, useLocation, useNavigate } from "react-router";

import { api, read } from "../api/client";
import { type SignedIn, sessionQuery } from "../api/queries";
import { focusSearch, focusWithin, useShortcuts } from "../kit/shortcuts";
import { Loading } from "../kit/states";
import { chooseTheme, type ThemeChoice, useThemeChoice } from "../kit/theme";
import { closeTracy, toggleTracy, useTracyPanel } from "../tracy/open";
import { Boundary } from "./boundary";
import { Help } from "./help";
import { LateBar } from "./late";
import "./shell.css";

const TracyPanel = lazy(() => import("../tracy/panel"));

const PAGES = [
  ["/", "Overview", "g o"],
  ["/agents", "Agents", "g a"],
  ["/traces", "Traces", "g t"],
  ["/alerts", "Alerts", "g l"],
  ["/sql", "SQL", "g s"],
  ["/settings", "Settings", "g e"],
  ["/start", "Get started", "g g"],
] as const;

export function Shell({ who }: { readonly who: SignedIn }) {
  const navigate = useNavigate();
  const location = useLocation();
  const [isHelpOpen, setHelpOpen] = useState(false);
  const tracy = useTracyPanel();
  useShortcuts({
    "?": () => setHelpOpen(true),
    "/": () => {
      if (!focusSearch()) void navigate("/traces", { state: { isSearch: true } });
    },
    j: () => focusWithin(1),
    k: () => focusWithin(-1),
    t: toggleTracy,
    ...Object.fromEntries(PAGES.map(([path, , key]) => [key, () => navigate(path)])),
  });
  useEffect(() => {
    document.getElementById("main")?.scrollTo(0, 0);
  }, [location.pathname]);
  return (
    <div className="shell" data-tracy={tracy.isOpen || undefined}>
      <a className="skip-link" href="#main">
        To the content
      </a>
      <header className="side">
        <NavLink to="/" className="brand">
          <img src="/icon.svg" alt="" width={24} height={24} />
          ClawTrace
        </NavLink>
        <nav aria-label="Pages">
          <ul>
            {PAGES.map(([path, name]) => (
              <li key={path}>
                <NavLink to={path} end={path === "/"}>
                  {name}
                </NavLink>
              </li>
            ))}
          </ul>
        </nav>
        <div className="side-foot">
          <button type="button" className="button button-main" onClick={toggleTracy} aria-expanded={tracy.isOpen}>
            Ask Tracy
          </button>
          <ThemeSwitch />
          <button type="button" className="button button-quiet" onClick={() => setHelpOpen(true)}>
            Keys <kbd>?</kbd>
          </button>
          <Account who={who} />
        </div>
      </header>
      <main id="main" tabIndex={-1}>
        <LateBar />
        <Boundary key={location.pathname}>
          <Suspense fallback={<Loading what="the page" />}>
            <Outlet />
          </Suspense>
        </Boundary>
      </main>
      {tracy.isOpen && (
        <Suspense fallback={null}>
          <TracyPanel onClose={closeTracy} />
        </Suspense>
      )}
      <Help isOpen={isHelpOpen} onClose={() => setHelpOpen(false)} />
    </div>
  );
}

function ThemeSwitch() {
  const choice = useThemeChoice();
  return (
    <label className="theme-switch">
      <span>Theme</span>
      <select
        className="input"
        value={choice}
        onChange={(event) => chooseTheme(event.target.value as ThemeChoice)}
      >
        <option value="system">System</option>
        <option value="light">Light</option>
        <option value="dark">Dark</option>
      </select>
    </label>
  );
}

function Account({ who }: { readonly who: SignedIn }) {
  const client = useQueryClient();
  const signOut = async () => {
    await read(api.DELETE("/v1/session")).catch(() => undefined);
    client.clear();
    await client.invalidateQueries({ queryKey: sessionQuery.queryKey });
    location.assign("/");
  };
  return (
    <div className="account">
      <span title={who.name}>
        <strong>{who.tenant_id}</strong> <span className="soft">{who.role}</span>
      </span>
      <button type="button" className="button button-quiet" onClick={() => void signOut()}>
        Sign out
      </button>
    </div>
  );
}
