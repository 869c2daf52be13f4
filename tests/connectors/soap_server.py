"""A SOAP service of its own over HTTP: it judges each message by its schema, and by WS-Security.

Written here, for no server for Python is maintained; it shares nothing with what asks it but lxml.
"""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import xmlsec
from lxml import etree

from tests.connectors.sources import Asked, reply

ENVELOPES = {
    "1.1": "http://schemas.xmlsoap.org/soap/envelope/",
    "1.2": "http://www.w3.org/2003/05/soap-envelope",
}
_BINDINGS = {
    "1.1": "http://schemas.xmlsoap.org/wsdl/soap/",
    "1.2": "http://schemas.xmlsoap.org/wsdl/soap12/",
}
_NS = "urn:example:shelters"
_OASIS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"
_WSSE = f"{{{_OASIS}wssecurity-secext-1.0.xsd}}"
_WSU = f"{{{_OASIS}wssecurity-utility-1.0.xsd}}"
_DS = "{http://www.w3.org/2000/09/xmldsig#}"
XSD = f"""<xsd:schema xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:t="{_NS}"
 targetNamespace="{_NS}" elementFormDefault="qualified">
<xsd:complexType name="Shelter"><xsd:sequence>
 <xsd:element name="no" type="xsd:string"/><xsd:element name="name" type="xsd:string"/>
</xsd:sequence></xsd:complexType>
<xsd:element name="GetShelters"><xsd:complexType><xsd:sequence>
 <xsd:element name="ward" minOccurs="0"><xsd:complexType><xsd:sequence>
  <xsd:element name="code" type="xsd:string"/></xsd:sequence></xsd:complexType></xsd:element>
 <xsd:element name="since" type="xsd:date" minOccurs="0"/>
 <xsd:element name="no" type="xsd:string" minOccurs="0"/>
 <xsd:element name="page" type="xsd:int" minOccurs="0"/>
</xsd:sequence></xsd:complexType></xsd:element>
<xsd:element name="GetSheltersResponse"><xsd:complexType><xsd:sequence>
 <xsd:element name="total" type="xsd:decimal" minOccurs="0"/>
 <xsd:element name="shelters" minOccurs="0"><xsd:complexType><xsd:sequence>
  <xsd:element name="shelter" type="t:Shelter" minOccurs="0" maxOccurs="unbounded"/>
 </xsd:sequence></xsd:complexType></xsd:element>
</xsd:sequence></xsd:complexType></xsd:element></xsd:schema>"""


def wsdl(
    address: str, version: str, imported: str = "shelters.xsd", action: str = "urn:get"
) -> bytes:
    """One service of one port."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<wsdl:definitions xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/" xmlns:s="{_BINDINGS[version]}"
 xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:t="{_NS}" targetNamespace="{_NS}">
<wsdl:types><xsd:schema><xsd:import namespace="{_NS}" schemaLocation="{imported}"/></xsd:schema></wsdl:types>
<wsdl:message name="In"><wsdl:part name="p" element="t:GetShelters"/></wsdl:message>
<wsdl:message name="Out"><wsdl:part name="p" element="t:GetSheltersResponse"/></wsdl:message>
<wsdl:portType name="Type"><wsdl:operation name="GetShelters"><wsdl:input message="t:In"/>
<wsdl:output message="t:Out"/></wsdl:operation></wsdl:portType>
<wsdl:binding name="Binding" type="t:Type"><s:binding transport="http://schemas.xmlsoap.org/soap/http"/>
<wsdl:operation name="GetShelters"><s:operation soapAction="{action}"/><wsdl:input><s:body use="literal"/>
</wsdl:input><wsdl:output><s:body use="literal"/></wsdl:output></wsdl:operation></wsdl:binding>
<wsdl:service name="Shelters"><wsdl:port name="Port" binding="t:Binding"><s:address location="{address}"/>
</wsdl:port></wsdl:service></wsdl:definitions>""".encode()


class Refused(Exception):
    """What the service does not take: a fault's code, and a word on it."""

    def __init__(self, code: str, said: str = "-") -> None:
        super().__init__(code)
        self.code, self.said = code, said


@dataclass(slots=True)
class Service:
    """Shelters, a page of two at a time where pages are asked for."""

    rows: list[dict[str, str]]
    version: str = "1.1"
    judge: Callable[[Any], None] = lambda _: None
    said: Callable[[str], bytes] | None = None  # instead of an answer, for the envelope's namespace
    base: str = ""
    imported: str = "shelters.xsd"
    address: str = ""
    action: str = "urn:get"
    bodies: list[Any] = field(default_factory=list)
    schema: Any = field(default_factory=lambda: etree.XMLSchema(etree.fromstring(XSD)))

    def answer(self, asked: Asked) -> bytes:
        """The WSDL, its schema, or an answer."""
        if asked.method == "GET":
            address = self.address or f"{self.base}/service"
            documents = {
                "/service": wsdl(address, self.version, self.imported, self.action),
                "/shelters.xsd": XSD.encode(),
            }
            found = documents.get(asked.path)
            return reply(found, kind="text/xml") if found else reply(b"", "404 Not Found")
        name_space = ENVELOPES[self.version]
        if self.said is not None:
            return self.said(name_space)
        try:
            return self._reply(self._judged(asked, name_space), name_space)
        except Refused as refused:
            return fault(name_space, refused.code, refused.said)

    def _judged(self, asked: Asked, name_space: str) -> Any:
        kind = asked.headers["content-type"]
        if self.version == "1.1":
            assert (kind.partition(";")[0], asked.headers["soapaction"]) == (
                "text/xml",
                '"urn:get"',
            )
        else:
            assert kind.startswith("application/soap+xml")
            assert 'action="urn:get"' in kind
        envelope = etree.fromstring(asked.body)
        body = envelope.find(f"{{{name_space}}}Body")
        self.judge(envelope)
        if not self.schema.validate(body[0]):
            raise Refused("Client", "schema")
        self.bodies.append(body[0])
        return body[0]

    def _reply(self, told: Any, name_space: str) -> bytes:
        rows, page = self.rows, told.findtext(f"{{{_NS}}}page")
        if no := told.findtext(f"{{{_NS}}}no"):
            rows = [row for row in rows if row["no"] == no]
        if page is not None:
            rows = rows[(int(page) - 1) * 2 : int(page) * 2]
        inner = "".join(
            f"<shelter><no>{row['no']}</no><name>{row['name']}</name></shelter>" for row in rows
        )
        return enveloped(
            name_space,
            f'<GetSheltersResponse xmlns="{_NS}"><shelters>{inner}</shelters></GetSheltersResponse>',
        )


def enveloped(
    name_space: str, inner: str, status: str = "200 OK", encoding: str = "UTF-8"
) -> bytes:
    """A whole answer around what is told."""
    text = (
        f'<?xml version="1.0" encoding="{encoding}"?><e:Envelope xmlns:e="{name_space}">'
        f"<e:Body>{inner}</e:Body></e:Envelope>"
    )
    return reply(text.encode("utf-8"), status, kind="text/xml")


def fault(name_space: str, code: str, said: str = "-") -> bytes:
    """A fault of either version; a code of WS-Security is one below the sender's."""
    is_ours = code in ("Client", "Server")
    prefix = "e" if is_ours else "w"
    head = f'xmlns:w="{_WSSE[1:-1]}"'
    if name_space == ENVELOPES["1.1"]:
        inner = f"<faultcode>{prefix}:{code}</faultcode><faultstring>{said}</faultstring>"
    else:
        first = {"Server": "Receiver"}.get(code, "Sender")
        below = "" if is_ours else f"<e:Subcode><e:Value>w:{code}</e:Value></e:Subcode>"
        inner = (
            f"<e:Code><e:Value>e:{first}</e:Value>{below}</e:Code>"
            f'<e:Reason><e:Text xml:lang="ja">{said}</e:Text></e:Reason>'
        )
    return enveloped(name_space, f"<e:Fault {head}>{inner}</e:Fault>", "500 Internal Server Error")


def knows_password(user: str, password: str, *, digest: bool) -> Callable[[Any], None]:
    """Takes a user's token, each nonce once, and none that is older than five minutes."""
    used: set[str] = set()

    def judge(envelope: Any) -> None:
        token = envelope.find(f".//{_WSSE}UsernameToken")
        if token is None or token.findtext(f"{_WSSE}Username") != user:
            raise Refused("FailedAuthentication")
        found = token.find(f"{_WSSE}Password")
        if not digest:
            if not found.get("Type").endswith("#PasswordText") or found.text != password:
                raise Refused("FailedAuthentication")
            return
        nonce, created = token.findtext(f"{_WSSE}Nonce"), token.findtext(f"{_WSU}Created")
        proof = hashlib.sha1(base64.b64decode(nonce) + created.encode() + password.encode())
        if base64.b64encode(proof.digest()).decode() != found.text or nonce in used:
            raise Refused("FailedAuthentication")
        used.add(nonce)
        if abs((datetime.now(UTC) - datetime.fromisoformat(created)).total_seconds()) > 300:
            raise Refused("MessageExpired")

    return judge


def knows_certificate(pem: bytes) -> Callable[[Any], None]:
    """Takes what this certificate signs: body and timestamp, both, and in time."""

    def judge(envelope: Any) -> None:
        signature = envelope.find(f".//{_DS}Signature")
        if signature is None:
            raise Refused("InvalidSecurity")
        named = [each.get("URI")[1:] for each in signature.iter(f"{_DS}Reference")]
        context = xmlsec.SignatureContext()
        covered = set()
        for element in envelope.iter():
            if element.get(f"{_WSU}Id") in named:
                context.register_id(element, "Id", _WSU[1:-1])
                covered.add(etree.QName(element).localname)
        if covered != {"Body", "Timestamp"}:
            raise Refused("InvalidSecurity")
        context.key = xmlsec.Key.from_memory(pem, xmlsec.KeyFormat.CERT_PEM, None)
        try:
            context.verify(signature)
        except xmlsec.Error:
            raise Refused("FailedCheck") from None
        method = signature.find(f".//{_DS}SignatureMethod").get("Algorithm")
        assert method.endswith("#rsa-sha256")
        until = datetime.fromisoformat(envelope.findtext(f".//{_WSU}Expires"))
        if until < datetime.now(UTC):
            raise Refused("MessageExpired")

    return judge
