package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// tree is the content of one layer. The first entry of a path wins.
type tree struct {
	name    string
	entries map[string]*entry
}

type entry struct {
	header  tar.Header
	content []byte
	source  string // a file to copy, instead of content
}

func newTree(name string) *tree { return &tree{name, map[string]*entry{}} }

func (t *tree) add(name string, e *entry) *tree {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if name == "" || t.entries[name] != nil {
		return t
	}
	if parent := path.Dir(name); parent != "." {
		t.dir(parent, 0o755)
	}
	// Only what a header needs: no owner, no clock.
	e.header.Name = name
	e.header.ModTime = time.Unix(0, 0)
	e.header.Format = tar.FormatUnknown
	if e.header.Typeflag == tar.TypeDir {
		e.header.Name += "/"
	}
	t.entries[name] = e
	return t
}

func (t *tree) dir(name string, mode int64) *tree {
	return t.add(name, &entry{header: tar.Header{Typeflag: tar.TypeDir, Mode: mode}})
}

func (t *tree) link(name, target string) *tree {
	return t.add(name, &entry{header: tar.Header{Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777}})
}

func (t *tree) hardlink(name, target string) *tree {
	return t.add(name, &entry{header: tar.Header{Typeflag: tar.TypeLink, Linkname: strings.TrimPrefix(target, "/"), Mode: 0o755}})
}

func (t *tree) text(name, content string) *tree { return t.bytes(name, []byte(content), 0o644) }

func (t *tree) bytes(name string, content []byte, mode int64) *tree {
	return t.add(name, &entry{header: tar.Header{Typeflag: tar.TypeReg, Mode: mode, Size: int64(len(content))}, content: content})
}

// owned adds an empty file that a user may write, in a directory of its own.
func (t *tree) owned(name string, uid int) *tree {
	return t.add(name, &entry{header: tar.Header{Typeflag: tar.TypeReg, Mode: 0o644, Uid: uid}})
}

func (t *tree) file(source, name string, mode int64) *tree {
	info, err := os.Stat(source)
	check(err)
	return t.add(name, &entry{header: tar.Header{Typeflag: tar.TypeReg, Mode: mode, Size: info.Size()}, source: source})
}

// directory adds the files below source; all scripts, or read like them.
func (t *tree) directory(source, name string) *tree {
	check(filepath.WalkDir(source, func(file string, d fs.DirEntry, err error) error {
		if err != nil || file == source {
			return err
		}
		relative, err := filepath.Rel(source, file)
		if err != nil {
			return err
		}
		target := path.Join(name, filepath.ToSlash(relative))
		if d.IsDir() {
			t.dir(target, 0o755)
		} else {
			// A Go module's files lose their modes.
			t.file(file, target, 0o755)
		}
		return nil
	}))
	return t
}

// tar adds the files, links and directories of an archive.
func (t *tree) tar(source string) *tree {
	f, err := os.Open(source)
	check(err)
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			return t
		}
		check(err)
		switch h.Typeflag {
		case tar.TypeReg:
			content, err := io.ReadAll(r)
			check(err)
			t.bytes(h.Name, content, h.Mode&0o777)
		case tar.TypeSymlink:
			t.link(h.Name, h.Linkname)
		case tar.TypeLink:
			t.hardlink(h.Name, h.Linkname)
		case tar.TypeDir:
			t.dir(h.Name, h.Mode&0o1777)
		default:
			log.Fatalf("%s: %s: unexpected kind of file", source, h.Name)
		}
	}
}

// busybox adds the program and a link for each applet that is not there yet.
func (t *tree) busybox(source, dir string) *tree {
	t.file(source, path.Join(dir, "busybox"), 0o755)
	list, err := exec.Command(source, "--list").Output()
	check(err)
	for _, applet := range strings.Fields(string(list)) {
		t.link(path.Join(dir, applet), "busybox")
	}
	return t
}

// layer writes the tree, sorted (a directory before what is in it).
func (t *tree) layer() (v1.Layer, error) {
	names := make([]string, 0, len(t.entries))
	for name := range t.entries {
		names = append(names, name)
	}
	sort.Strings(names)
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for _, name := range names {
		e := t.entries[name]
		if err := w.WriteHeader(&e.header); err != nil {
			return nil, err
		}
		content := e.content
		if e.source != "" {
			var err error
			if content, err = os.ReadFile(e.source); err != nil {
				return nil, err
			}
		}
		if e.header.Typeflag == tar.TypeReg {
			if _, err := w.Write(content); err != nil {
				return nil, err
			}
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(
		func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buffer.Bytes())), nil },
		tarball.WithCompressionLevel(gzip.BestSpeed),
		tarball.WithMediaType(types.OCILayer),
		tarball.WithCompressedCaching)
}
