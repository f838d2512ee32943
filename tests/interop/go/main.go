// Command tlogcheck judges an exported log with Go's own golang.org/x/mod/sumdb/{note,tlog}, unmodified.
//
//	tlogcheck DIR VKEY
//
// DIR holds `checkpoint`, `tile/entries/…` and `tile/<level>/…` (c2sp.org/tlog-tiles); VKEY is a file with the
// log's verifier key (c2sp.org/signed-note). Every entry is hashed again, the root recomputed from them must be the
// one signed, and every tile of that tree must hold the same bytes. Prints `accepted …` and ends with 0, or says
// what is wrong and ends with 1.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// tileHeight is fixed by c2sp.org/tlog-tiles: 256 hashes or entries in a full tile.
const tileHeight = 8

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: tlogcheck DIR VKEY")
		os.Exit(2)
	}
	origin, tree, err := check(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, "refused:", err)
		os.Exit(1)
	}
	fmt.Printf("accepted %s: %d entries, root %v\n", origin, tree.N, tree.Hash)
}

func check(dir, vkeyFile string) (string, tlog.Tree, error) {
	origin, tree, err := openCheckpoint(dir, vkeyFile)
	if err != nil {
		return "", tree, fmt.Errorf("checkpoint: %w", err)
	}
	hashes, err := hashEntries(dir, tree.N)
	if err != nil {
		return "", tree, err
	}
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		found := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			if index >= int64(len(hashes)) {
				return nil, fmt.Errorf("hash %d is not in the tree", index)
			}
			found[i] = hashes[index]
		}
		return found, nil
	})
	root, err := tlog.TreeHash(tree.N, reader)
	if err != nil {
		return "", tree, err
	}
	if root != tree.Hash {
		return "", tree, fmt.Errorf("the entries give root %v, the checkpoint signs %v", root, tree.Hash)
	}
	return origin, tree, checkTiles(dir, tree.N, reader)
}

// openCheckpoint verifies the note and reads the tree head out of its text.
func openCheckpoint(dir, vkeyFile string) (string, tlog.Tree, error) {
	var tree tlog.Tree
	vkey, err := os.ReadFile(vkeyFile)
	if err != nil {
		return "", tree, err
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(vkey)))
	if err != nil {
		return "", tree, err
	}
	signed, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return "", tree, err
	}
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return "", tree, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 {
		return "", tree, errors.New("fewer than three lines")
	}
	if lines[0] != verifier.Name() {
		return "", tree, fmt.Errorf("origin %q is not the key's name %q", lines[0], verifier.Name())
	}
	tree.N, err = strconv.ParseInt(lines[1], 10, 64)
	if err != nil || tree.N < 0 || lines[1] != strconv.FormatInt(tree.N, 10) {
		return "", tree, fmt.Errorf("size %q is not a number in its shortest form", lines[1])
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return "", tree, fmt.Errorf("root %q is not 32 bytes in base64", lines[2])
	}
	copy(tree.Hash[:], root)
	return lines[0], tree, nil
}

// hashEntries reads all entry bundles and returns the tree's hashes in the order that tlog stores them.
func hashEntries(dir string, size int64) ([]tlog.Hash, error) {
	var hashes []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		found := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			found[i] = hashes[index]
		}
		return found, nil
	})
	for first := int64(0); first < size; first += 1 << tileHeight {
		width := min(size-first, 1<<tileHeight)
		path := tilePath("entries", first>>tileHeight, width)
		bundle, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			return nil, err
		}
		for position := first; position < first+width; position++ {
			if len(bundle) < 2 || len(bundle)-2 < int(binary.BigEndian.Uint16(bundle)) {
				return nil, fmt.Errorf("%s ends inside entry %d", path, position)
			}
			length := int(binary.BigEndian.Uint16(bundle))
			added, err := tlog.StoredHashes(position, bundle[2:2+length], reader)
			if err != nil {
				return nil, err
			}
			hashes = append(hashes, added...)
			bundle = bundle[2+length:]
		}
		if len(bundle) != 0 {
			return nil, fmt.Errorf("%s goes on for %d bytes after its last entry", path, len(bundle))
		}
	}
	return hashes, nil
}

// checkTiles compares every tile of the tree with the hashes recomputed from the entries.
func checkTiles(dir string, size int64, reader tlog.HashReader) error {
	for _, tile := range tlog.NewTiles(tileHeight, 0, size) {
		path := tilePath(strconv.Itoa(tile.L), tile.N, int64(tile.W))
		have, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			return err
		}
		want, err := tlog.ReadTileData(tile, reader)
		if err != nil {
			return err
		}
		if !bytes.Equal(have, want) {
			return fmt.Errorf("%s does not hold the hashes of this tree", path)
		}
	}
	return nil
}

// tilePath is c2sp.org/tlog-tiles: the index in groups of three digits, and the width of a partial tile.
func tilePath(level string, index, width int64) string {
	path := fmt.Sprintf("%03d", index%1000)
	for index /= 1000; index > 0; index /= 1000 {
		path = fmt.Sprintf("x%03d/%s", index%1000, path)
	}
	path = "tile/" + level + "/" + path
	if width < 1<<tileHeight {
		path = fmt.Sprintf("%s.p/%d", path, width)
	}
	return path
}
