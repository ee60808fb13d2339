#!/usr/bin/env python3
"""Sends one message to one spark of a metroplex cluster, as any server may: see PROTOCOL.md.

    python3 examples/send.py --redis redis://127.0.0.1:6379 SPARK '{"hello":"world"}'

It needs Python 3 alone. It asks Redis which server holds the spark, says hello there, sends the message, and checks that what it
is answered was signed with the cluster's secret. Ends with 0 when the spark was handed the message, with 1 when it was not, with 2
when it was asked something that it does not understand.
"""

import argparse
import base64
import hashlib
import hmac
import http.client
import json
import os
import secrets
import socket
import ssl
import sys
import time
from urllib.parse import unquote, urlsplit

HELLO = 'application/vnd.metroplex.hello'
BATCH = 'application/vnd.metroplex.batch'
# How long one attempt waits for an answer, in seconds, and how many are made.
PATIENCE = 2
ATTEMPTS = 3


class Refused(Exception):
    """Why the message was not sent, or what is not known about it: a sentence."""


class Unanswered(Exception):
    """No answer came: it is unknown how far the request got."""


class Redis:
    """As much of Redis as it takes to ask a few things: https://redis.io/docs/latest/develop/reference/protocol-spec/"""

    def __init__(self, url):
        where = urlsplit(url)
        if where.scheme not in ('redis', 'rediss') or not where.hostname:
            raise Refused(f'--redis must be like redis://127.0.0.1:6379, or rediss:// with TLS; given: {url}.')
        connection = socket.create_connection((where.hostname, where.port or 6379), PATIENCE)
        if where.scheme == 'rediss':
            connection = ssl.create_default_context().wrap_socket(connection, server_hostname=where.hostname)
        self.stream = connection.makefile('rwb')
        if where.password:
            self.ask('AUTH', *([unquote(where.username)] if where.username else []), unquote(where.password))
        if where.path.strip('/'):
            self.ask('SELECT', where.path.strip('/'))

    def ask(self, *words):
        parts = [word.encode() for word in words]
        self.stream.write(b'*%d\r\n' % len(parts) + b''.join(b'$%d\r\n%s\r\n' % (len(part), part) for part in parts))
        self.stream.flush()
        return self.answer()

    def answer(self):
        line = self.stream.readline()
        if not line.endswith(b'\r\n'):
            raise Refused('Redis closed the connection before it had answered.')
        kind, rest = line[:1], line[1:-2]
        if kind == b'-':
            raise Refused(f'Redis refused: {rest.decode()}.')
        if kind == b'$':
            return None if rest == b'-1' else self.stream.read(int(rest) + 2)[:-2].decode()
        if kind == b'*':
            return [self.answer() for _ in range(int(rest))]
        return rest.decode()


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode()


def digest(body):
    return base64url(hashlib.sha256(body).digest())


def sign(secret, *fields):
    """HMAC-SHA256 over all fields, each with its length in bytes before it."""
    parts = [str(field).encode() for field in fields]
    return base64url(hmac.new(secret.encode(), b''.join(b'%d:%s,' % (len(part), part) for part in parts), hashlib.sha256).digest())


class Peer:
    """The server that holds the spark, and our session with it."""

    def __init__(self, address, pathname, secret, namespace):
        self.address, self.secret, self.namespace = address, secret, namespace
        self.path = f'{pathname}/metroplex'
        # A random node id, used for one session only, so that its batch numbers are ours alone.
        self.word = base64url(secrets.token_bytes(12))

    def hello(self):
        """Who answers there, and in which session we may go on."""
        self.to, self.session = self.address, base64url(secrets.token_bytes(12))
        head, body = self.repeatedly(HELLO, 0, b'')
        self.to, self.session = head[1], head[3]
        return json.loads(body)

    def send(self, number, body):
        return json.loads(self.repeatedly(BATCH, number, body)[1])

    def repeatedly(self, kind, number, body):
        """Ask until an answer comes. With the same number: what has been carried out is not carried out again."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self.ask(kind, number, body)
            except Unanswered as error:
                if attempt == ATTEMPTS:
                    arrived = '' if number == 0 else ' Whether it has arrived is not known.'
                    raise Refused(f'{self.address} did not answer: {error}.{arrived}') from error
                time.sleep(0.1 * attempt)

    def ask(self, kind, number, body):
        fields = (self.word, self.to, self.session, number, digest(body))
        signature = sign(self.secret, 'metroplex/2', 'request', self.namespace, *fields[:4], kind, fields[4])
        status, head, answered, text = self.put(' '.join(map(str, ('2', *fields, signature))), kind, body)
        said = explained(text)
        if status == 401:
            raise Refused(f'{self.address} refuses our signature: {said} Give the secret of the cluster with --secret, and its --namespace.')
        if not self.genuine(head, number, signature, status, answered, text):
            # A refusal may be unsigned, because who asks could not be told. It is no proof of anything.
            if status == 200:
                raise Refused(f'{self.address} did not sign its answer with the secret of the cluster: whether it has done anything is not known.')
            raise Refused(f'{self.address} refused, and did not sign it ({status}): {said}')
        if status != 200:
            raise Refused(f'{self.address} refused ({status}): {said}')
        return head.split(' '), text

    def genuine(self, head, number, signature, status, kind, text):
        """Whether this is the answer of that server to this very request."""
        fields = head.split(' ')
        if len(fields) != 7 or fields[0] != '2' or fields[2] != self.word or fields[4] != str(number):
            return False
        if number > 0 and (fields[1] != self.to or fields[3] != self.session):
            return False
        expected = sign(self.secret, 'metroplex/2', 'answer', self.namespace, *fields[1:5], kind, fields[5], status, signature)
        return hmac.compare_digest(expected.encode(), fields[6].encode()) and digest(text) == fields[5]

    def put(self, head, kind, body):
        where = urlsplit(self.address)
        connect = http.client.HTTPSConnection if where.scheme == 'https' else http.client.HTTPConnection
        connection = connect(where.hostname, where.port, timeout=PATIENCE)
        try:
            connection.request('PUT', self.path, body, {'metroplex': head, 'content-type': kind, 'content-length': str(len(body))})
            answer = connection.getresponse()
            return answer.status, answer.getheader('metroplex', '-'), answer.getheader('content-type', ''), answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unanswered(error) from error
        finally:
            connection.close()


def explained(text):
    try:
        return json.loads(text)['reason']
    except (ValueError, KeyError, TypeError):
        return 'it does not say why.'


def find(redis, namespace, spark):
    """The address of the server that holds a spark, and Primus's path there."""
    layout = redis.ask('GET', f'{namespace}:layout')
    if layout and layout.split(' ')[1] != '1':
        raise Refused(f'The registry of {namespace} is split into {layout.split(" ")[1]}: this example understands one alone, see docs/keys.md.')
    address = redis.ask('HGET', f'{namespace}:sparks', spark)
    if address is None:
        raise Refused(f'No server has a spark {spark} in the namespace {namespace}.')
    state, protocol, transport, pathname = redis.ask('HMGET', f'{namespace}:{address}:life', 'state', 'protocol', 'transport', 'pathname')
    if state != 'up' or redis.ask('EXISTS', f'{namespace}:{address}:lease') == '0':
        raise Refused(f'{address} held the spark {spark}, and does not live any more.')
    if protocol != '2' or transport != 'http':
        raise Refused(f'{address} speaks protocol {protocol} over {transport}: this example speaks protocol 2 over http.')
    return address, pathname


def run(terms):
    redis = Redis(terms.redis)
    address, pathname = find(redis, terms.namespace, terms.spark)
    # Servers that were given no secret have agreed upon one: the time at which they did, and the secret.
    agreed = None if terms.secret else redis.ask('GET', f'{terms.namespace}:secret')
    secret = terms.secret or (agreed or '').partition(' ')[2]
    if not secret:
        raise Refused('The cluster has agreed upon no secret in Redis: give the one that its servers were given, with --secret.')

    peer = Peer(address, pathname, secret, terms.namespace)
    welcome = peer.hello()
    # A first line with an entry for each message: an action and its recipients. Then a line for each message.
    lines = [[['some', [terms.spark]]], terms.message]
    body = ''.join(json.dumps(line, separators=(',', ':')) + '\n' for line in lines).encode()
    if len(body) > welcome['maxBody']:
        raise Refused(f'{address} takes no more than {welcome["maxBody"]} bytes, and this is {len(body)}.')
    [reply] = peer.send(welcome['last'] + 1, body)
    if isinstance(reply, dict):
        raise Refused(f'{address} could not carry it out: {reply["message"]}')
    if reply != 1:
        raise Refused(f'{address} does not have the spark {terms.spark} any more.')
    print(f'{address} has handed it to {terms.spark}.')


def message(text):
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f'the message must be JSON: {error}') from error
    if isinstance(value, str) and value.startswith('primus::'):
        raise argparse.ArgumentTypeError("a message must not begin with primus::, which Primus's clients take for protocol")
    return value


def main():
    parser = argparse.ArgumentParser(description='Sends one message to one spark of a metroplex cluster.')
    parser.add_argument('--redis', default='redis://127.0.0.1:6379', help='where the registry is (%(default)s)')
    parser.add_argument('--namespace', default='metroplex', help="the cluster's (%(default)s)")
    parser.add_argument('--secret', default=os.environ.get('METROPLEX_SECRET'),
                        help='the secret of the servers; better in METROPLEX_SECRET, which does not show in the list of processes')
    parser.add_argument('spark', help='its id')
    parser.add_argument('message', type=message, help='what to send it, as JSON')
    given = sys.argv[1:]
    # An id may begin with a dash, and is no option for that.
    if len(given) > 1 and '--' not in given and not {'-h', '--help'} & set(given):
        given.insert(-2, '--')
    try:
        run(parser.parse_args(given))
    except Refused as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f'Redis could not be asked: {error}.')


if __name__ == '__main__':
    main()
