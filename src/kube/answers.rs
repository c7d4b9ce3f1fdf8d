//! What the probe asks and what its answers mean. Pure.

use std::net::Ipv4Addr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};

use super::obstacles::excerpt;
use crate::diagnose::{Answer, Lookup, Target, Transport};

/// The name that every cluster made by kubeadm can resolve.
pub(super) const NAME: &str = "kubernetes.default.svc.cluster.local.";
/// A question without an answer that took this long was not closed by the server: it ran out.
const RAN_OUT: u64 = 2_500;

/// A server to ask.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) target: Target,
    pub(super) address: Ipv4Addr,
}

/// The question as DNS over TCP sends it: its length, then the message.
pub(super) fn tcp_query() -> Vec<u8> {
    let mut message = Message::query();
    message.metadata.id = 0x6b73;
    message.metadata.recursion_desired = true;
    let name = Name::from_ascii(NAME).expect("a constant name");
    message.add_query(Query::query(name, RecordType::A));
    let message = message.to_vec().expect("a question fits");
    let length = u16::try_from(message.len()).expect("a question is short");
    [length.to_be_bytes().as_slice(), &message].concat()
}

/// What the script printed, as lookups; lines that are not of it are left out.
pub(super) fn lookups(node: &str, pod: &str, servers: &[Server], output: &str) -> Vec<Lookup> {
    let lookup = |line: &str| {
        let mut words = line.split(' ');
        let (transport, address, start, end) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let raw = BASE64.decode(words.next().unwrap_or_default()).ok()?;
        let address: Ipv4Addr = address.parse().ok()?;
        let server = servers.iter().find(|server| server.address == address)?;
        let ms = milliseconds(start, end)?;
        let (transport, answer) = match transport {
            "udp" => (Transport::Udp, nslookup_answer(&String::from_utf8_lossy(&raw), ms)),
            "tcp" => (Transport::Tcp, tcp_answer(&raw, ms)),
            _ => return None,
        };
        Some(Lookup {
            from_node: node.to_owned(),
            from_pod: pod.to_owned(),
            target: server.target.clone(),
            server: address,
            transport,
            answer,
        })
    };
    let mut lookups: Vec<Lookup> = output.lines().filter_map(lookup).collect();
    lookups.sort_by(|one, two| (&one.target, one.transport).cmp(&(&two.target, two.transport)));
    lookups
}

fn milliseconds(start: &str, end: &str) -> Option<u64> {
    let (start, end): (f64, f64) = (start.parse().ok()?, end.parse().ok()?);
    let seconds = Duration::try_from_secs_f64(end - start).ok()?;
    u64::try_from(seconds.as_millis()).ok()
}

/// busybox nslookup's words.
fn nslookup_answer(text: &str, ms: u64) -> Answer {
    if text.contains("Name:") {
        Answer::Answered { ms }
    } else if text.contains("NXDOMAIN") {
        Answer::NxDomain
    } else if text.contains("refused") {
        Answer::Refused
    } else if text.trim().is_empty() || text.contains("timed out") {
        Answer::TimedOut
    } else {
        Answer::Other { text: excerpt(text) }
    }
}

/// A DNS message behind its length, or what busybox nc said instead.
fn tcp_answer(raw: &[u8], ms: u64) -> Answer {
    if raw.is_empty() {
        return match ms {
            RAN_OUT.. => Answer::TimedOut,
            _ => Answer::Other { text: "the connection was closed without an answer".into() },
        };
    }
    let text = String::from_utf8_lossy(raw);
    if text.starts_with("nc: ") {
        return if text.contains("refused") {
            Answer::Refused
        } else if text.contains("timed out") {
            Answer::TimedOut
        } else {
            Answer::Other { text: excerpt(&text) }
        };
    }
    match raw.get(2..).and_then(|message| Message::from_vec(message).ok()) {
        Some(message) => match message.metadata.response_code {
            ResponseCode::NoError if !message.answers.is_empty() => Answer::Answered { ms },
            ResponseCode::NXDomain => Answer::NxDomain,
            code => Answer::Other { text: code.to_string() },
        },
        None => Answer::Other { text: "an answer that is not DNS".into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers() -> Vec<Server> {
        let pod = Target::Pod { name: "coredns-a".into(), node: "general-1".into() };
        vec![
            Server { target: Target::Service, address: Ipv4Addr::new(10, 96, 0, 10) },
            Server { target: pod, address: Ipv4Addr::new(192, 168, 1, 2) },
        ]
    }

    fn line(transport: &str, server: &str, end: &str, raw: &[u8]) -> String {
        format!("{transport} {server} 100.00 {end} {}\n", BASE64.encode(raw))
    }

    #[test]
    fn every_answer_is_told_apart() {
        let mut message = Message::from_vec(&tcp_query()[2..]).expect("ours").into_response();
        message.metadata.response_code = ResponseCode::NXDomain;
        let no_such_name = [&[0, 0], message.to_vec().expect("fits").as_slice()].concat();
        let found = b"Server:\t\t10.96.0.10\nAddress:\t10.96.0.10:53\n\nName:\tkubernetes.default.svc.cluster.local\nAddress: 10.96.0.1\n";
        let output = [
            line("udp", "10.96.0.10", "100.03", found),
            line("tcp", "10.96.0.10", "103.00", b""),
            line("udp", "192.168.1.2", "103.01", b";; connection timed out; no servers could be reached\n\n"),
            line("tcp", "192.168.1.2", "100.01", &no_such_name),
            "noise\n".into(),
        ];
        let answers: Vec<String> = lookups("general-2", "probe", &servers(), &output.concat())
            .iter()
            .map(Lookup::to_string)
            .collect();
        assert_eq!(
            answers,
            [
                "general-2 -> kube-dns (10.96.0.10), UDP: answered in 30 ms",
                "general-2 -> kube-dns (10.96.0.10), TCP: no answer",
                "general-2 -> coredns-a on general-1 (192.168.1.2), UDP: no answer",
                "general-2 -> coredns-a on general-1 (192.168.1.2), TCP: no such name",
            ]
        );
    }

    #[test]
    fn a_closed_port_is_not_a_lost_packet() {
        assert_eq!(nslookup_answer("nslookup: read: Connection refused\n", 10), Answer::Refused);
        assert_eq!(
            tcp_answer(b"nc: can't connect to remote host (10.0.0.1): Connection refused\n", 0),
            Answer::Refused
        );
        assert_eq!(
            tcp_answer(b"", 10),
            Answer::Other { text: "the connection was closed without an answer".into() }
        );
        assert_eq!(
            nslookup_answer("** server can't find x: SERVFAIL", 10),
            Answer::Other { text: "** server can't find x: SERVFAIL".into() }
        );
    }
}
