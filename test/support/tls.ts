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
