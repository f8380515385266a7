// A Forward server written by others, for the tests: prints one JSON line per event, acknowledges chunks.
//
//   node server.js OPTIONS     OPTIONS: what FluentServer takes, as JSON
//
// The first line it prints is {"port": number}. It ends when its standard input does.
"use strict";

const { FluentServer, EventTime } = require("@fluent-org/logger");

const server = new FluentServer({
  listenOptions: { host: "127.0.0.1", port: 0 },
  ...JSON.parse(process.argv[2] || "{}"),
});

function print(value) {
  process.stdout.write(JSON.stringify(value) + "\n");
}

server.on("entry", (tag, time, record) => {
  const isEventTime = time instanceof EventTime;
  print({ tag, time: isEventTime ? [time.epoch, time.nano] : time, record });
});

process.stdin.resume();
process.stdin.on("end", () => process.exit(0));

server.listen().then(() => print({ port: server.port }));
