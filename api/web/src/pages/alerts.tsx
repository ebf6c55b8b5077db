/**
 * Alerts, and what decides about them: rules, budgets, and the channels that tell of them.
 *
 * Upstream: the address.
 * Downstream: `alert_list`, and the other parts, each loaded when it is first shown.
 * Guarantee: the part that is shown stands in the address.
 */
import { lazy, Suspense } from "react";

import { Page } from "../kit/page";
import { Loading } from "../kit/states";
import { Tabs } from "../kit/tabs";
import { useUrlState } from "../kit/url_state";
import { AlertList } from "./alert_list";
import "./alerts.css";

const Rules = lazy(async () => ({ default: (await import("../watch/rules")).Rules }));
const Budgets = lazy(async () => ({ default: (await import("../watch/budgets")).Budgets }));
const Channels = lazy(async () => ({ default: (await import("../watch/channels")).Channels }));

const TABS = [
  { id: "alerts", name: "Alerts" },
  { id: "rules", name: "Rules" },
  { id: "budgets", name: "Budgets" },
  { id: "channels", name: "Channels" },
] as const;

export default function Alerts() {
  const { get, set } = useUrlState();
  const tab = TABS.find((wanted) => wanted.id === get("tab"))?.id ?? "alerts";
  return (
    <Page title="Alerts">
      <Tabs label="Alerts" tabs={TABS} current={tab} onChoose={(next) => set({ tab: next === "alerts" ? undefined : next })}>
        <Suspense fallback={<Loading what={tab} />}>
          <div className="page-section">
            {tab === "alerts" && <AlertList />}
            {tab === "rules" && <Rules />}
            {tab === "budgets" && <Budgets />}
            {tab === "channels" && <Channels />}
          </div>
        </Suspense>
      </Tabs>
    </Page>
  );
}
