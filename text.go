package multiprolab

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// This file is small functions that shorten texts of errors. Both processes use them.

// brief returns the text of an error for use inside another text.
func brief(err error) string {
	if err == nil {
		return "no error"
	}
	return strings.ReplaceAll(err.Error(), "multiprolab: ", "")
}

// cutText cuts a text that is longer than n bytes off behind its last whole character within these,
// and appends " ...".
func cutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + " ..."
}

// newCookie returns a text that nobody else uses.
func newCookie() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}
