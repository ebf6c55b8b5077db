import { expect, test } from "vitest";

import { EventParser, readEvents, type ServerEvent } from "./events";

const STREAM = ": ping\nretry: 1500\nid: t/0/7\nevent: span\ndata: {\"a\":1}\ndata: more\n\r\nevent: lonely\n\ndata:x\n\n";
const WANTED: ServerEvent[] = [
  { id: "t/0/7", event: "span", data: '{"a":1}\nmore' },
  { id: "t/0/7", event: "message", data: "x" },
];

test("however the bytes are cut, the same events come out", () => {
  for (let size = 1; size <= STREAM.length; size += 1) {
    const parser = new EventParser();
    const found: ServerEvent[] = [];
    for (let start = 0; start < STREAM.length; start += size) found.push(...parser.push(STREAM.slice(start, start + size)));
    expect(found, `pieces of ${size}`).toEqual(WANTED);
    expect(parser.retryMs).toBe(1500);
  }
});

test("a response is read to its end", async () => {
  const found: ServerEvent[] = [];
  for await (const event of readEvents(new Response(STREAM))) found.push(event);
  expect(found).toEqual(WANTED);
});
