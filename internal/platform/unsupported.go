//go:build !(linux || darwin || windows || freebsd || openbsd || netbsd || dragonfly) || ios

package platform

// The compiler prints the text. What is wrong with it is chosen for that: it prints the text whole, once, and ahead of all else.
var _ = "multiprolab does not support this system: it runs on Linux, macOS, Windows, FreeBSD, OpenBSD, NetBSD and DragonFly BSD".unsupported
