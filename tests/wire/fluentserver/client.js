// A Forward client written by others, for the tests: sends events, waits for their acks, ends.
//
//   node client.js JSON        JSON: {"tag", "records": [...], "options": what FluentClient takes}
//
// Exit code 0: everything was acknowledged. Otherwise the reason is on standard error.
"use strict";

const { EventTime, FluentClient } = require("@fluent-org/logger");

const { tag, records, options } = JSON.parse(process.argv[2]);
const client = new FluentClient(tag, options);

async function main() {
  const sent = records.map((record) => client.emit(record, new EventTime(1700000000, 5)));
  await client.flush();
  await Promise.all(sent);
  await client.disconnect();
}

client.socketOn("error", () => {}); // it comes out of emit as well
main().then(
  () => process.exit(0),
  (error) => {
    process.stderr.write(`${error}\n`);
    process.exit(1);
  },
);
