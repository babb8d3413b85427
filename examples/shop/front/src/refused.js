// A request we understand and will not do; the status and the text go to the client.
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}
