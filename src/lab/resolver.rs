//! The VPC's resolver: it knows the instances' names and answers NXDOMAIN at once for the rest
//! (a silent resolver costs cloud-init 20 s), or asks the host's resolver where the internet is
//! allowed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, PTR};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use super::desired::Desired;
use super::imds::{private_name, public_name, region_of};

/// Answers may be cached this long, in seconds.
const TTL: u32 = 60;
const UPSTREAM_PATIENCE: Duration = Duration::from_secs(3);

/// What a resolver of one VPC knows.
#[derive(Clone, Debug)]
pub struct Zone {
    /// `vpc-...`.
    pub vpc: String,
    /// The state to answer from.
    pub desired: watch::Receiver<Arc<Desired>>,
    /// Where to send other questions, if anywhere.
    pub upstream: Option<SocketAddr>,
}

/// Serves datagrams on a socket inside the VPC's namespace.
pub async fn serve_udp(socket: UdpSocket, zone: Zone) -> std::io::Result<()> {
    let socket = Arc::new(tokio::net::UdpSocket::from_std(socket)?);
    let mut buffer = [0; 4096];
    loop {
        // An ICMP error of an earlier answer arrives as an error here; the next question matters.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let (question, zone, socket) = (buffer[..length].to_vec(), zone.clone(), Arc::clone(&socket));
        tokio::spawn(async move {
            if let Some(answer) = reply(&question, &zone).await {
                let _ = socket.send_to(&answer, from).await;
            }
        });
    }
}

/// Serves connections, one question after the other.
pub async fn serve_tcp(listener: TcpListener, zone: Zone) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let Ok((mut stream, _)) = listener.accept().await else { continue };
        let zone = zone.clone();
        tokio::spawn(async move {
            while let Ok(length) = stream.read_u16().await {
                let mut question = vec![0; length.into()];
                stream.read_exact(&mut question).await?;
                let Some(answer) = reply(&question, &zone).await else { break };
                stream.write_u16(u16::try_from(answer.len()).unwrap_or(u16::MAX)).await?;
                stream.write_all(&answer).await?;
            }
            std::io::Result::Ok(())
        });
    }
}

async fn reply(question: &[u8], zone: &Zone) -> Option<Vec<u8>> {
    let message = Message::from_vec(question).ok()?;
    let desired = zone.desired.borrow().clone();
    let answer = respond(&message, &desired, &zone.vpc);
    match zone.upstream {
        Some(upstream) if answer.metadata.response_code == ResponseCode::NXDomain => {
            forward(question, upstream).await
        }
        _ => answer.to_vec().ok(),
    }
}

async fn forward(question: &[u8], upstream: SocketAddr) -> Option<Vec<u8>> {
    let socket = tokio::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.ok()?;
    socket.connect(upstream).await.ok()?;
    socket.send(question).await.ok()?;
    let mut buffer = vec![0; 4096];
    let length = tokio::time::timeout(UPSTREAM_PATIENCE, socket.recv(&mut buffer)).await.ok()?.ok()?;
    buffer.truncate(length);
    Some(buffer)
}

/// The answer of the VPC itself: NXDOMAIN for a name it does not know, empty for a type it does
/// not have.
pub fn respond(question: &Message, desired: &Desired, vpc: &str) -> Message {
    let asked = &question.metadata;
    let mut answer = Message::response(asked.id, asked.op_code);
    answer.metadata.recursion_desired = asked.recursion_desired;
    answer.metadata.recursion_available = true;
    if asked.op_code != OpCode::Query {
        answer.metadata.response_code = ResponseCode::NotImp;
        return answer;
    }
    for query in &question.queries {
        answer.add_query(query.clone());
        let records = records(query.name(), desired, vpc);
        if records.is_empty() {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        for data in records {
            let wanted = query.query_type();
            if wanted == data.record_type() || wanted == RecordType::ANY {
                answer.add_answer(Record::from_rdata(query.name().clone(), TTL, data));
            }
        }
    }
    answer
}

fn records(name: &Name, desired: &Desired, vpc: &str) -> Vec<RData> {
    let Some(vpc) = desired.vpcs.iter().find(|each| each.id == vpc) else { return Vec::new() };
    let asked = name.to_ascii().trim_end_matches('.').to_ascii_lowercase();
    let reverse = name.parse_arpa_name().ok().map(|net| net.addr());
    let mut records = Vec::new();
    for interface in &vpc.interfaces {
        let Some(machine) = desired.machines.iter().find(|each| each.id == interface.machine) else {
            continue;
        };
        let region = region_of(&machine.zone);
        let private = private_name(interface.private_ip, region);
        // Inside the VPC a public name gives the private address, as on EC2.
        let public = interface.public_ip.map(|address| public_name(address, region));
        if asked == private || Some(&asked) == public.as_ref() {
            records.push(RData::A(A(interface.private_ip)));
        }
        if reverse == Some(IpAddr::V4(interface.private_ip))
            && let Ok(target) = Name::from_ascii(format!("{private}."))
        {
            records.push(RData::PTR(PTR(target)));
        }
    }
    records
}
