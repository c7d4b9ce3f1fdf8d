// Images assembles the bundle's container images into one OCI image layout:
//
//	images -parts DIR -out DIR
//
// DIR has the outputs of the other parts, by name. The versions come from the
// environment (lib/versions.sh). The names of the images are printed.
//
// Nothing in a layer depends on the clock, the builder or the order of files.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// The annotations that name an image of a layout: the standard's, and the one
// that "ctr images import" takes as it is.
const (
	refName        = "org.opencontainers.image.ref.name"
	containerdName = "io.containerd.image.name"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("images: ")
	parts := flag.String("parts", "", "directory of the other parts' outputs")
	out := flag.String("out", "", "directory to make")
	arch := flag.String("arch", "amd64", "architecture of the binaries")
	flag.Parse()

	path, err := layout.Write(*out, empty.Index)
	check(err)
	made := map[string]v1.Layer{}
	for _, spec := range specs(*parts) {
		image := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
		image = mutate.ConfigMediaType(image, types.OCIConfigJSON)
		config := spec.config
		if config.Env == nil {
			config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
		}
		image, err = mutate.ConfigFile(image, &v1.ConfigFile{
			Architecture: *arch,
			OS:           "linux",
			RootFS:       v1.RootFS{Type: "layers"},
			Config:       config,
		})
		check(err)
		for _, tree := range spec.layers {
			if made[tree.name] == nil {
				made[tree.name], err = tree.layer()
				check(err)
			}
			image, err = mutate.AppendLayers(image, made[tree.name])
			check(err)
		}
		check(path.AppendImage(image,
			layout.WithAnnotations(map[string]string{refName: spec.ref, containerdName: spec.ref}),
			layout.WithPlatform(v1.Platform{OS: "linux", Architecture: *arch})))
		fmt.Println(spec.ref)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func version(name string) string {
	value := os.Getenv(name + "_VERSION")
	if value == "" {
		log.Fatalf("%s_VERSION is not set", name)
	}
	return value
}

type image struct {
	ref    string
	layers []*tree
	config v1.Config
}

// specs lists the images. A layer that several share is made and stored once.
func specs(parts string) []image {
	in := func(elements ...string) string { return filepath.Join(append([]string{parts}, elements...)...) }
	binary := func(source, target string) *tree { return newTree(target).file(source, target, 0o755) }

	// What every image has, so that a process finds /tmp and a name for its user.
	base := newTree("base").
		dir("/tmp", 0o1777).
		text("/etc/passwd", "root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n").
		text("/etc/group", "root:x:0:\nnobody:x:65534:\n").
		text("/etc/nsswitch.conf", "hosts: files dns\n")
	// Debian's merged /usr, for programs with shared libraries.
	nettools := newTree("nettools").
		link("/bin", "usr/bin").link("/sbin", "usr/sbin").link("/lib", "usr/lib").link("/lib64", "usr/lib64").
		tar(in("debian", "nettools.tar")).
		busybox(in("debian", "busybox"), "/usr/bin").
		dir("/run", 0o755).link("/var/run", "../run")
	shell := newTree("busybox").
		busybox(in("debian", "busybox"), "/bin").
		dir("/root", 0o700).dir("/var", 0o755).dir("/run", 0o755)

	var images []image
	add := func(ref string, config v1.Config, layers ...*tree) {
		images = append(images, image{ref, append([]*tree{base}, layers...), config})
	}

	kubernetes := ":v" + version("KUBERNETES")
	for _, name := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
		target := "/usr/local/bin/" + name
		add("registry.k8s.io/"+name+kubernetes, v1.Config{Entrypoint: []string{target}},
			binary(in("kubernetes", name), target))
	}
	add("registry.k8s.io/kube-proxy"+kubernetes, v1.Config{Entrypoint: []string{"/usr/local/bin/kube-proxy"}},
		nettools, binary(in("kubernetes", "kube-proxy"), "/usr/local/bin/kube-proxy"))
	add("registry.k8s.io/coredns/coredns:v"+version("COREDNS"),
		v1.Config{Entrypoint: []string{"/coredns"}, WorkingDir: "/", ExposedPorts: map[string]struct{}{"53/tcp": {}, "53/udp": {}}},
		binary(in("coredns", "coredns"), "/coredns"))
	add("registry.k8s.io/pause:"+version("PAUSE"), v1.Config{Entrypoint: []string{"/pause"}, User: "65535:65535"},
		binary(in("pause", "pause"), "/pause"))
	add("registry.k8s.io/etcd:"+version("ETCD")+"-"+version("ETCD_IMAGE"), v1.Config{Entrypoint: []string{"/usr/local/bin/etcd"}},
		newTree("etcd").
			file(in("etcd", "server"), "/usr/local/bin/etcd", 0o755).
			file(in("etcd", "etcdctl"), "/usr/local/bin/etcdctl", 0o755).
			file(in("etcd", "etcdutl"), "/usr/local/bin/etcdutl", 0o755))

	calico := ":v" + version("CALICO")
	cni := newTree("calico-cni").
		file(in("calico", "install"), "/opt/cni/bin/install", 0o755).
		file(in("calico", "calico"), "/opt/cni/bin/calico", 0o755).
		hardlink("/opt/cni/bin/calico-ipam", "/opt/cni/bin/calico")
	for _, name := range []string{"bandwidth", "host-local", "loopback", "portmap", "tuning"} {
		cni.file(in("cni", name), "/opt/cni/bin/"+name, 0o755)
	}
	add("quay.io/calico/cni"+calico, v1.Config{
		Env:        []string{"PATH=/opt/cni/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		Cmd:        []string{"/opt/cni/bin/install"},
		WorkingDir: "/opt/cni/bin",
	}, cni)
	add("quay.io/calico/node"+calico, v1.Config{
		Env: []string{
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			"SVDIR=/etc/service/enabled",
			// Built without cgo, its libbpf is a stub that panics when it is called.
			"FELIX_DebugSkipCTLBCleanup=true",
			"FELIX_XDPENABLED=false",
		},
		Cmd: []string{"start_runit"},
	}, nettools, newTree("calico-node").
		tar(in("debian", "runit.tar")).
		directory(in("calico", "filesystem", "etc"), "/etc").
		directory(in("calico", "filesystem", "sbin"), "/usr/sbin").
		file(in("calico", "calico-node"), "/usr/bin/calico-node", 0o755).
		file(in("calico", "mountns"), "/usr/bin/mountns", 0o755))
	add("quay.io/calico/kube-controllers"+calico, v1.Config{
		User:       "999",
		Entrypoint: []string{"/usr/bin/wrapper", "/usr/bin/kube-controllers"},
	}, newTree("calico-kube-controllers").
		file(in("calico", "kube-controllers"), "/usr/bin/kube-controllers", 0o755).
		file(in("calico", "check-status"), "/usr/bin/check-status", 0o755).
		file(in("calico", "wrapper"), "/usr/bin/wrapper", 0o755).
		owned("/status/status.json", 999).
		owned("/profiles/mem.pprof", 999).
		owned("/profiles/cpu.pprof", 999))

	add("docker.io/library/busybox:"+version("BUSYBOX"), v1.Config{Cmd: []string{"sh"}}, shell)
	return images
}
