package multiprolab

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
)

// This file is small functions that shorten texts of errors. Both processes use them.

// brief returns the text of an error for use inside another text.
func brief(err error) string {
	if err == nil {
		return "no error"
	}
	return strings.ReplaceAll(err.Error(), "multiprolab: ", "")
}

// newCookie returns a text that nobody else uses.
func newCookie() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}
