package codec

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

// This file is the names and the ids of types, as payloads and definitions begin with them.

// errShort is the error of names that are cut short.
var errShort = errors.New("it is cut short")

// appendNames appends the two names of a type, each with its length before it: the name with the
// paths of packages, and the short name by which gob.Register may know the type.
func appendNames(dst []byte, name, short string) []byte {
	for _, s := range [...]string{name, short} {
		s = s[:min(len(s), 1<<16-1)]
		dst = append(binary.LittleEndian.AppendUint16(dst, uint16(len(s))), s...)
	}
	return dst
}

// cutNames takes the two names of a type from the start of b.
func cutNames(b []byte) (name, short string, rest []byte, err error) {
	if name, rest, err = cutName(b); err == nil {
		short, rest, err = cutName(rest)
	}
	return name, short, rest, err
}

// cutName takes one name of a type from the start of b.
func cutName(b []byte) (name string, rest []byte, err error) {
	if len(b) < 2 {
		return "", nil, errShort
	}
	n := int(binary.LittleEndian.Uint16(b))
	if len(b) < 2+n {
		return "", nil, errShort
	}
	return string(b[2 : 2+n]), b[2+n:], nil
}

// idOf returns the id of definitions: never 0.
func idOf(blob []byte) uint64 {
	sum := sha256.Sum256(blob)
	return max(binary.LittleEndian.Uint64(sum[:]), 1)
}
