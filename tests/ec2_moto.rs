//! The EC2 adapter against moto, an EC2 mock by other people: what we send is what botocore's
//! service model knows, and what comes back is what we read.

#[path = "ec2/client.rs"]
mod client;
#[path = "ec2/cycle.rs"]
mod cycle;
#[path = "ec2/moto.rs"]
mod moto;

use client::{REGION, connect, scope};
use cycle::{bare, cycle, group, key_name, network};
use kubestrap::ports::{Cloud, CloudError, Create};
use moto::Moto;

/// The newest amd64 image with a root volume that moto ships.
async fn image(endpoint: &str) -> String {
    let images = bare(endpoint).describe_images().owners("amazon").send().await.unwrap();
    let fits = |it: &&aws_sdk_ec2::types::Image| {
        it.architecture().is_some_and(|arch| arch.as_str() == "x86_64") && it.root_device_name().is_some()
    };
    images.images().iter().find(fits).and_then(|it| it.image_id()).unwrap().to_owned()
}

#[tokio::test]
async fn from_nothing_to_a_network_with_instances_and_back_to_nothing() {
    let moto = Moto::start().await;
    let image = image(&moto.endpoint).await;
    cycle(&moto.endpoint, &image).await;
}

#[tokio::test]
async fn what_only_shares_a_name_is_named_and_refused() {
    let moto = Moto::start().await;
    let (cloud, ec2) = (connect(&moto.endpoint).await, bare(&moto.endpoint));
    let net = network(&cloud, &format!("{REGION}a")).await;
    let state = cloud.observe(&scope()).await.unwrap();
    assert_eq!(state.foreign, [], "what is ours is not foreign");

    cloud.delete(&kubestrap::ports::Delete::SecurityGroup(net.nodes)).await.unwrap();
    cloud.delete(&kubestrap::ports::Delete::KeyPair(net.key)).await.unwrap();
    let request = ec2.create_security_group().vpc_id(&net.vpc).description("somebody's");
    let theirs = request.group_name("kubestrap-books-nodes").send().await.unwrap().group_id.unwrap();
    let pair = ec2.create_key_pair().key_name(key_name()).send().await.unwrap().key_pair_id.unwrap();

    let state = cloud.observe(&scope()).await.unwrap();
    let foreign: Vec<String> =
        state.foreign.iter().map(|it| format!("{} {} {}", it.kind, it.id, it.name)).collect();
    let mut expected = [
        format!("key pair {pair} kubestrap-books-3f9a2c81"),
        format!("security group {theirs} kubestrap-books-nodes"),
    ];
    expected.sort();
    assert_eq!(foreign, expected);
    assert_eq!((state.groups.len(), state.key_pair), (1, None));

    let error = cloud.create(&scope(), &group(&net.vpc, "nodes")).await.unwrap_err();
    assert!(
        matches!(&error, CloudError::Duplicate { code, .. } if code == "InvalidGroup.Duplicate"),
        "{error:?}"
    );
    let public_key = cycle::PUBLIC_KEY.to_owned();
    let error = cloud.create(&scope(), &Create::KeyPair { name: key_name(), public_key }).await.unwrap_err();
    assert!(
        matches!(&error, CloudError::Duplicate { code, .. } if code == "InvalidKeyPair.Duplicate"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_public_parameter_gives_its_image_and_a_wrong_one_is_told_by_name() {
    let moto = Moto::start().await;
    let cloud = connect(&moto.endpoint).await;
    let known = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64";
    assert!(cloud.image(known).await.unwrap().starts_with("ami-"));
    let error = cloud.image("/aws/service/debian/release/99/latest/amd64").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "GetParameter: ParameterNotFound: /aws/service/debian/release/99/latest/amd64 does not exist in ap-northeast-1"
    );
}

#[tokio::test]
async fn a_type_and_a_zone_that_do_not_exist_are_refused_in_ec2s_words() {
    let moto = Moto::start().await;
    let cloud = connect(&moto.endpoint).await;
    let error = cloud.offer(None, &["t3.gigantic".into()]).await.unwrap_err();
    assert!(matches!(&error, CloudError::Refused { code, .. } if code == "InvalidInstanceType"), "{error}");
    assert!(error.to_string().contains("t3.gigantic"), "{error}");
}
