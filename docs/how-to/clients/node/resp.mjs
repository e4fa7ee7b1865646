// Redis over a socket: RESP2, one command at a time.

import net from "node:net";
import tls from "node:tls";

const ANSWER_MS = 5000; // limit for connecting and for one answer

/** An error answer of the server itself. */
export class Refusal extends Error {}

export class Connection {
  #socket;
  #chunks;
  #buffer = Buffer.alloc(0);

  /** Connects to redis://[[user]:password@]host[:port][/database] (rediss: with TLS), logs in, selects the database. */
  static async open(url) {
    const { protocol, hostname, port, username, password, pathname } = new URL(url);
    const place = { host: hostname.replace(/^\[|\]$/g, ""), port: Number(port || 6379) };
    const connection = new Connection();
    if (protocol === "rediss:") connection.#socket = tls.connect({ ...place, servername: net.isIP(place.host) ? "" : place.host });
    else if (protocol === "redis:") connection.#socket = net.connect(place);
    else throw new TypeError("The address of Redis must start with redis:// or rediss://.");
    connection.#socket.setNoDelay(true);
    connection.#chunks = connection.#socket[Symbol.asyncIterator]();
    const hello = [["PING"]]; // a server that wants a password says so here
    if (pathname.length > 1 && pathname !== "/0") hello.unshift(["SELECT", pathname.slice(1)]);
    if (password) hello.unshift(["AUTH", ...(username ? [decodeURIComponent(username)] : []), decodeURIComponent(password)]);
    try {
      for (const command of hello) await connection.call(...command);
    } catch (error) {
      connection.close();
      throw error;
    }
    return connection;
  }

  /** Sends one command; text, numbers and null come back as such, lists as arrays. Throws Refusal or a network error. */
  async call(...parts) {
    this.#socket.setTimeout(ANSWER_MS, () => this.#socket.destroy(new Error("no answer in time")));
    this.#socket.write(`*${parts.length}\r\n`);
    for (const part of parts) {
      const bytes = Buffer.isBuffer(part) ? part : Buffer.from(String(part));
      this.#socket.write(`$${bytes.length}\r\n`);
      this.#socket.write(bytes);
      this.#socket.write("\r\n");
    }
    try {
      const answer = await this.#answer();
      if (answer instanceof Refusal) throw answer;
      return answer;
    } finally {
      this.#socket.setTimeout(0);
    }
  }

  close() {
    this.#socket.destroy();
  }

  async #answer() {
    const line = (await this.#until(() => this.#buffer.indexOf("\r\n"))).toString();
    const [kind, rest] = [line[0], line.slice(1)];
    const count = Number(rest);
    if (kind === "+") return rest;
    if (kind === "-") return new Refusal(rest);
    if (kind === ":") return count;
    if (kind !== "$" && kind !== "*") throw new Error("not an answer of Redis");
    if (count < 0) return null;
    if (kind === "$") return (await this.#until(() => (this.#buffer.length >= count + 2 ? count : -1))).toString();
    const items = [];
    while (items.length < count) items.push(await this.#answer());
    return items;
  }

  // Bytes up to where `find` says, which is followed by \r\n; reads on while it says -1.
  async #until(find) {
    let end;
    while ((end = find()) < 0) {
      const { value, done } = await this.#chunks.next();
      if (done) throw new Error("the server closed the connection");
      this.#buffer = Buffer.concat([this.#buffer, value]);
    }
    const bytes = this.#buffer.subarray(0, end);
    this.#buffer = this.#buffer.subarray(end + 2);
    return bytes;
  }
}
