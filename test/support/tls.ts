/**
 * A key and a certificate for `localhost`, signed by itself, for a hundred years; worth nothing outside of these tests.
 *
 * Node.js can make none by itself, and not every machine has openssl.
 */
export const tls = {
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgoCyIkpgwhW27W7tb
VAAXXhu4B3/VA9B6E8U0qhoRYaShRANCAASt6S5lv/Q26iM1SQPi3k+qTIdma0uB
fuEZov31WBa6PJtGgLeBCfHENiwXN7ISvh2tR4B2oW4idCZM2T2rYb7C
-----END PRIVATE KEY-----`,
  cert: `-----BEGIN CERTIFICATE-----
MIIBfjCCASWgAwIBAgIUCqJDR3eCAQf4VOg8zxPX3uT+RqUwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTA2MTkxNloYDzIxMjYxMDI4
MDYxOTE2WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASt6S5lv/Q26iM1SQPi3k+qTIdma0uBfuEZov31WBa6PJtGgLeBCfHE
NiwXN7ISvh2tR4B2oW4idCZM2T2rYb7Co1MwUTAdBgNVHQ4EFgQU5PC23m7cbvam
2pk6X4VKQK2gy2cwHwYDVR0jBBgwFoAU5PC23m7cbvam2pk6X4VKQK2gy2cwDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiBJSVM0GGQovwqcFNMOSINM
yiIHxx87KZeIWSBW0aTohgIgC6Jdq4VXlDynUsUFWGpITK2ShUDTUdmTBAIQCVAJ
ZHE=
-----END CERTIFICATE-----`
}

/**
 * What a server identifies itself by: its key, its certificate and those above it, and the root, which clients may
 * trust.
 */
export interface Identity {
  readonly key: string
  readonly cert: string
  readonly ca: string
  /** The name that the certificate is made out to. */
  readonly servername: string
}

/** The certificate of the authority that signed the chain below. */
const CA = `-----BEGIN CERTIFICATE-----
MIIBljCCATugAwIBAgIUMUews6jjud++K9Gld6OcUyhnblcwCgYIKoZIzj0EAwIw
HzEdMBsGA1UEAwwUbWV0cm9wbGV4IHRlc3RzIHJvb3QwIBcNMjYxMTI5MTUzNDA5
WhgPMjEyNjExMDUxNTM0MDlaMB8xHTAbBgNVBAMMFG1ldHJvcGxleCB0ZXN0cyBy
b290MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaZWDNCuq4BWHtBn0J1JC4Mu0
BBlwgH1+sFlFJpLvvle7RaAXdn3d37O089Kqayp5UIU2R1YTK7TnSqAF28azyaNT
MFEwHQYDVR0OBBYEFEqMG87TMxXQ2PD6OD60gK3keNDTMB8GA1UdIwQYMBaAFEqM
G87TMxXQ2PD6OD60gK3keNDTMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwID
SQAwRgIhALGxNZSIAnacwo1ZrRyGilqVskmteHFW8PsLmiFJKUB8AiEAjtbMZoQU
OiSbhzlSPN60VzdHJMKGrpNTkfrDyr06Z2c=
-----END CERTIFICATE-----`

/**
 * A certificate for `redis.example`, signed by a root that no client knows, as Redis at Heroku has one. Worth nothing
 * outside of these tests.
 */
export const chain: Identity = {
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgCKLSJcI+nJPGauU0
Qa9Q4QloWawDjCB5/OSSxna70lOhRANCAASPpBUgUfBUEqh8OwBJO+GMCSpqwfL6
r0kvCFbK3YgMN/fsrjp8mRkHarWhtrM+sm+aIwYZsPO1qb5aHf56oHLj
-----END PRIVATE KEY-----`,
  cert: `-----BEGIN CERTIFICATE-----
MIIBMjCB2gIUCdNeEtuR6JJ2a4+8M6XOOKGWWnIwCgYIKoZIzj0EAwIwHzEdMBsG
A1UEAwwUbWV0cm9wbGV4IHRlc3RzIHJvb3QwIBcNMjYxMTI5MTUzNDEwWhgPMjEy
NjExMDUxNTM0MTBaMBgxFjAUBgNVBAMMDXJlZGlzLmV4YW1wbGUwWTATBgcqhkjO
PQIBBggqhkjOPQMBBwNCAASPpBUgUfBUEqh8OwBJO+GMCSpqwfL6r0kvCFbK3YgM
N/fsrjp8mRkHarWhtrM+sm+aIwYZsPO1qb5aHf56oHLjMAoGCCqGSM49BAMCA0cA
MEQCIBJRue79WmyIws7aEsixv/FsXKY2biKM6Y/PCADJ+pb3AiB+BVTRQjVaIguQ
mI8ypE0YJ+kILyOFnCcDm5jaoXgWuw==
-----END CERTIFICATE-----
${CA}`,
  ca: CA,
  servername: 'redis.example'
}
