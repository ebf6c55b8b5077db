/**
 * Tabs: one of several views of the same thing.
 *
 * Upstream: which view is shown, from the address.
 * Downstream: the trace page, alerts, settings.
 * Guarantee: as ARIA's pattern has it: one stop of Tab, arrows, Home and End within; what is chosen comes into sight.
 */
import type { ReactNode } from "react";
import { Tab, TabList, TabPanel, Tabs as AriaTabs } from "react-aria-components/Tabs";

interface TabsProps<Id extends string> {
  readonly label: string;
  readonly tabs: readonly { readonly id: Id; readonly name: string }[];
  readonly current: Id;
  readonly onChoose: (id: Id) => void;
  readonly children: ReactNode;
}

export function Tabs<Id extends string>({ label, tabs, current, onChoose, children }: TabsProps<Id>) {
  return (
    <AriaTabs className="tabs" selectedKey={current} onSelectionChange={(id) => onChoose(id as Id)}>
      <TabList className="tab-list" aria-label={label}>
        {tabs.map(({ id, name }) => (
          <Tab key={id} id={id} className="tab">
            {name}
          </Tab>
        ))}
      </TabList>
      <TabPanel id={current} className="tab-panel">
        {children}
      </TabPanel>
    </AriaTabs>
  );
}
