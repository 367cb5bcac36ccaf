"""A real SMTP server for the tests: prints its port, then every mail that it is given, each a line of JSON."""

import asyncio
import email
import json
import sys

from aiosmtpd.smtp import SMTP


class Printer:
    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content)
        if envelope.rcpt_tos == ["refused@example.org"]:
            return "550 no such mailbox"
        print(
            json.dumps(
                {
                    "from": envelope.mail_from,
                    "to": envelope.rcpt_tos,
                    "subject": mail["Subject"],
                    "text": mail.get_payload(decode=True).decode(),
                }
            ),
            flush=True,
        )
        return "250 OK"


async def serve():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Printer(), hostname="localhost"), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)  # until the test ends
    server.close()


asyncio.run(serve())
