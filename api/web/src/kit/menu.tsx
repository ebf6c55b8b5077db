/**
 * A button that opens a list of ways to do the same thing.
 *
 * Upstream: the ways, each an address.
 * Downstream: the export of a trace.
 * Guarantee: as ARIA's pattern has it: arrows and first letters within, Escape closes it, focus comes back.
 */
import { Button } from "react-aria-components/Button";
import { Menu as AriaMenu, MenuItem, MenuTrigger } from "react-aria-components/Menu";
import { Popover } from "react-aria-components/Popover";
import "./menu.css";

interface MenuProps {
  readonly label: string;
  readonly files: readonly { readonly name: string; readonly note: string; readonly href: string }[];
}

export function DownloadMenu({ label, files }: MenuProps) {
  return (
    <MenuTrigger>
      <Button className="button">
        {label} <span aria-hidden="true">▾</span>
      </Button>
      <Popover className="menu-box" placement="bottom end">
        <AriaMenu className="menu">
          {files.map(({ name, note, href }) => (
            <MenuItem key={href} className="menu-item" href={href} download="" textValue={name}>
              {name} <span className="soft">{note}</span>
            </MenuItem>
          ))}
        </AriaMenu>
      </Popover>
    </MenuTrigger>
  );
}
