/** Why an outbox does not send: `status`, where the server said so, `error`, `reason`. */
export class OutboxError extends Error {
  constructor(details) {
    super(`${details.error}: ${details.reason}`);
    this.name = 'OutboxError';
    Object.assign(this, details);
  }
}
