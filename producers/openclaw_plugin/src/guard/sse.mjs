/**
 * Takes a stream of server-sent events apart.
 *
 * Upstream: bytes of an HTTP body.
 * Downstream: the guard's connection.
 * Guarantee: as the HTML standard has it (any line end, comments, data over several lines); a stream that sends no line
 * end cannot fill the memory.
 */

const MAX_BUFFER_CHARS = 8 * 1024 * 1024;

/**
 * @typedef {{event: string, data: string, id: string | undefined}} ServerEvent
 *
 * @param {AsyncIterable<Uint8Array>} body
 * @param {{onEvent: (event: ServerEvent) => void, onBytes?: () => void, onRetry?: (ms: number) => void}} to
 */
export async function readServerEvents(body, { onEvent, onBytes, onRetry }) {
  const decoder = new TextDecoder();
  let buffer = "";
  let event = "";
  let id;
  let data = [];
  const take = (line) => {
    if (line === "") {
      if (data.length) onEvent({ event: event || "message", data: data.join("\n"), id });
      event = "";
      data = [];
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") event = value;
    else if (field === "data") data.push(value);
    else if (field === "id" && !value.includes("\0")) id = value;
    else if (field === "retry" && /^\d+$/.test(value)) onRetry?.(Number(value));
  };
  for await (const chunk of body) {
    onBytes?.();
    buffer += decoder.decode(chunk, { stream: true });
    // A carriage return at the very end may be half of a line end.
    const lines = buffer.split(/\r\n|\n|\r(?!$)/);
    buffer = lines.pop();
    if (buffer.length > MAX_BUFFER_CHARS) throw new Error("the server sends a line without end");
    for (const line of lines) take(line);
  }
}
