/** Faults on the way between a service and its servers, for tests. */
export {
  type CutAfter,
  type Direction,
  type ProxyTarget,
  startTcpProxy,
  type Tap,
  type TcpProxy,
  type Where,
} from './tcp-proxy.ts';
