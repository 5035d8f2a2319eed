// What Strophe needs of a browser's XMLHttpRequest, over Node's own HTTP; every request has a connection of its own.
import { type ClientRequest, request } from 'node:http';
import { DOMParser } from '@xmldom/xmldom';

const OPENED = 1;
const DONE = 4;

export class XmlHttpRequest {
  readyState = 0;
  status = 0;
  responseText = '';
  responseXML: object | null = null;
  onreadystatechange: () => void = () => {};
  private readonly headers: Record<string, string> = {};
  private url = '';
  private method = '';
  private sent: ClientRequest | undefined;

  open(method: string, url: string): void {
    this.method = method;
    this.url = url;
    this.become(OPENED);
  }

  setRequestHeader(name: string, value: string): void {
    this.headers[name] = value;
  }

  getAllResponseHeaders(): string {
    return '';
  }

  abort(): void {
    this.sent?.destroy();
  }

  send(body: string): void {
    const sent = request(this.url, { method: this.method, headers: this.headers, agent: false });
    this.sent = sent;
    const failed = (): void => {
      if (this.readyState === DONE) return;
      this.status = 0;
      this.responseText = '';
      this.become(DONE);
    };
    sent.on('error', failed);
    sent.on('response', (response) => {
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        this.responseText += chunk;
      });
      response.on('error', failed);
      response.on('end', () => {
        if (!response.complete) return;
        this.status = response.statusCode ?? 0;
        this.responseXML = new DOMParser().parseFromString(this.responseText, 'text/xml');
        this.become(DONE);
      });
    });
    sent.end(body);
  }

  private become(state: number): void {
    this.readyState = state;
    this.onreadystatechange();
  }
}
