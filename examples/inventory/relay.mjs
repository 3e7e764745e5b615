// A wire between a client and a server that can lose what the server answers.
import { connect, createServer } from 'node:net';

export class Relay {
  #server;
  #sockets = new Set();
  /** Who waits for an answer that is to be lost. */
  #lost = null;

  /** Carries to the server of `url`. */
  static async to(url) {
    const relay = new Relay();
    const { hostname, port } = new URL(url);
    relay.#server = createServer((client) => relay.#carry(client, connect(port, hostname)));
    await new Promise((listening) => relay.#server.listen(0, '127.0.0.1', listening));
    return relay;
  }

  /** The same URL, by way of the wire. */
  by(url) {
    const through = new URL(url);
    through.host = `127.0.0.1:${this.#server.address().port}`;
    return through.href;
  }

  /**
   * Loses the next answer: resolves when the server has sent it. From then on nothing comes back on that connection,
   * which stays open, as on a network that has gone.
   */
  loseAnswer() {
    return new Promise((resolve) => (this.#lost = resolve));
  }

  /** Drops all connections. */
  cut() {
    this.#sockets.forEach((socket) => socket.destroy());
  }

  stop() {
    this.cut();
    this.#server.close();
  }

  #carry(client, server) {
    let isLost = false;
    client.pipe(server);
    server.on('data', (bytes) => {
      if (this.#lost) {
        isLost = true;
        this.#lost();
        this.#lost = null;
      }
      if (!isLost) client.write(bytes);
    });
    for (const [one, other] of [[client, server], [server, client]]) {
      this.#sockets.add(one);
      one.on('error', () => {}); // `close` follows
      one.on('close', () => {
        this.#sockets.delete(one);
        other.destroy();
      });
    }
  }
}
