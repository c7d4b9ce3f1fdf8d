//! Codes of `diagnose dns`: CoreDNS, its Service, and the pattern of the lookups.

pub(super) const PAGES: super::Pages = &[
    (
        "KS-DNS-VXLAN-BLOCKED",
        "No rule lets the nodes reach each other on UDP 4789, and all traffic between pods of different \
         nodes travels inside of it. Lookups succeed where the CoreDNS pod happens to be on the same node \
         and time out otherwise. Add the rule with the command in the finding, or with `kubestrap diagnose \
         dns --fix`; a rule for TCP, or for port 53, does not help.",
    ),
    (
        "KS-DNS-COREDNS-ABSENT",
        "The cluster has no Deployment coredns, so nobody answers lookups. kubeadm makes it; somebody \
         deleted it, or the control plane's set-up was cut short. `kubeadm init phase addon coredns` on the \
         control plane makes it again.",
    ),
    (
        "KS-DNS-COREDNS-SCALED-TO-ZERO",
        "The Deployment coredns is there and wants no pods, so nobody answers lookups. Somebody scaled it, \
         often to restart it. Scale it back to two.",
    ),
    (
        "KS-DNS-COREDNS-COREFILE",
        "CoreDNS does not start because it does not accept its configuration: the evidence has the line of \
         its log. Somebody edited the ConfigMap coredns. Mend it there, then restart the Deployment.",
    ),
    (
        "KS-DNS-COREDNS-DOWN",
        "Fewer CoreDNS pods are ready than are wanted; the evidence tells what each of them waits for or \
         dies of. As long as one answers, lookups go on, and a pod that is only starting is a warning. \
         Describe the pods for their events: images, memory, and room on the nodes are the usual causes.",
    ),
    (
        "KS-DNS-COREDNS-NXDOMAIN",
        "CoreDNS answers, and says that a name does not exist which every cluster has. The kubernetes \
         plugin of its Corefile does not serve cluster.local: it was removed, or serves another domain. \
         Mend the ConfigMap coredns.",
    ),
    (
        "KS-DNS-COREDNS-ANSWER",
        "CoreDNS answers with an error, such as SERVFAIL or REFUSED. Mostly it cannot reach the API server, \
         whose Services it would tell about, or no plugin of its Corefile is responsible for the name. Its \
         log tells which.",
    ),
    (
        "KS-DNS-COREDNS-SILENT",
        "One CoreDNS pod says that it is ready and answers nobody, not even pods of its own node, while the \
         others answer. Every lookup that the Service sends to it is lost. Delete the pod, and its \
         Deployment makes another.",
    ),
    (
        "KS-DNS-SERVICE-ABSENT",
        "There is no Service kube-dns, whose address every pod has as its resolver. Somebody deleted it. \
         `kubeadm init phase addon coredns` on the control plane makes it again, with the same address.",
    ),
    (
        "KS-DNS-SERVICE-PORTS",
        "The Service kube-dns lacks UDP or TCP port 53. Lookups go over UDP, and over TCP when an answer is \
         long, so both are needed. Put the port back into the Service.",
    ),
    (
        "KS-DNS-SERVICE-ADDRESS",
        "CoreDNS answers at the addresses of its pods, and not at the Service's. The nodes' kube-proxy does \
         not translate the address, or the Service's target ports are not those that CoreDNS listens on. \
         See kube-proxy's log on the nodes named, then the ports of the Service.",
    ),
    (
        "KS-DNS-ENDPOINTS-EMPTY",
        "CoreDNS pods are ready, and the Service kube-dns has none of them behind it. Its selector does not \
         match their labels, because one of the two was changed. The command in the finding puts the \
         selector back.",
    ),
    (
        "KS-DNS-ENDPOINTS-FOREIGN",
        "The Service kube-dns sends lookups to an address that is no CoreDNS pod's. Its selector matches \
         other pods, or another Deployment took CoreDNS's labels. The command in the finding puts the \
         selector back.",
    ),
    (
        "KS-DNS-UDP-ONLY",
        "Only lookups over UDP are lost: the same pods answer over TCP. Security groups cannot make the \
         difference, since both travel inside VXLAN. Look for a network policy that admits TCP 53 alone, or \
         a firewall on the nodes.",
    ),
    (
        "KS-DNS-TCP-ONLY",
        "Only lookups over TCP are lost: the same pods answer over UDP. Short answers arrive, long ones \
         fail. Look for a network policy that admits UDP 53 alone, or a firewall on the nodes.",
    ),
    (
        "KS-DNS-NODE-CUT-OFF",
        "Pods of one node exchange no packets with pods of other nodes, and the security groups admit them. \
         A firewall on that node drops UDP 4789, or its device vxlan.calico or the routes through it are \
         missing. The command in the finding shows all three; restarting calico-node there makes the device \
         and the routes again.",
    ),
    (
        "KS-DNS-CROSS-NODE",
        "Pods do not reach CoreDNS on other nodes, more than one node is concerned, and the security groups \
         admit the packets. Calico is not ready, or firewalls on the nodes drop UDP 4789. See the \
         calico-node pods first.",
    ),
    (
        "KS-DNS-NO-ANSWER",
        "CoreDNS pods are ready, and none answers anybody, not even on its own node. The network between \
         nodes cannot be the reason then. Look for a network policy that isolates kube-system, or firewalls \
         on the nodes.",
    ),
    (
        "KS-DNS-PARTIAL",
        "Some lookups are lost, and neither nodes nor protocols nor a single pod explain which. Overload of \
         CoreDNS and packets lost now and then look like this. Run the diagnosis again: what stays lost is \
         a pattern, what moves is load.",
    ),
];
